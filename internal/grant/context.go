package grant

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// contextAllowed finds the names of the context that the Group does not let keys set.
func contextAllowed(s Subject, group *v1alpha1.Group, most int) Problems {
	if len(s.Context) == 0 {
		return nil
	}
	may := group.Spec.KeyPolicy.KeysMaySet
	hint := fmt.Sprintf("it lets them set %s", join(may))
	if len(may) == 0 {
		hint = "it lets them set none"
	}
	var problems Problems
	for _, name := range slices.Sorted(maps.Keys(s.Context)) {
		if len(problems) >= most {
			break
		}
		if slices.Contains(may, v1alpha1.ContextName(name)) {
			continue
		}
		problems = append(problems, &Problem{
			Reason: v1alpha1.ReasonContextNotAllowed, Type: field.ErrorTypeNotSupported, Elsewhere: true,
			Field: fmt.Sprintf("spec.context[%s]", name),
			Message: fmt.Sprintf("Group %s/%s does not let keys set %q; %s: add it to spec.keyPolicy.keysMaySet of the Group, "+
				"or remove it here; it has no effect", group.Namespace, group.Name, name, hint),
		})
	}
	return problems
}

// allowedContext returns the part of a key's context that the group lets keys set; nil if there is none.
func allowedContext(context map[string]v1alpha1.ContextValue, group *v1alpha1.Group) (allowed map[string]v1alpha1.ContextValue) {
	for name, value := range context {
		if !slices.Contains(group.Spec.KeyPolicy.KeysMaySet, v1alpha1.ContextName(name)) {
			continue
		}
		if allowed == nil {
			allowed = make(map[string]v1alpha1.ContextValue, len(context))
		}
		allowed[name] = value
	}
	return allowed
}

// lacks reports whether a context has fewer of the names than before.
func lacks(context, before map[string]v1alpha1.ContextValue) bool {
	for name := range before {
		if _, has := context[name]; !has {
			return true
		}
	}
	return false
}
