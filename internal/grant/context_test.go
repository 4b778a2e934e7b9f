package grant_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// TestContextOfKeys: a key sets what its Group lists, letter for letter, and every other name is a problem that the Group could end.
func TestContextOfKeys(t *testing.T) {
	for name, test := range map[string]struct {
		may, sets string
		want      string   // the names that are granted
		fields    []string // of problems
		mentions  string
	}{
		"nothing":                   {may: "plan"},
		"a name that is listed":     {may: "plan region", sets: "plan", want: "plan"},
		"all":                       {may: "plan region", sets: "region plan", want: "plan region"},
		"one that is not listed":    {may: "plan", sets: "plan database", want: "plan", fields: []string{"spec.context[database]"}, mentions: `lets them set "plan"`},
		"in another case":           {may: "plan", sets: "Plan", fields: []string{"spec.context[Plan]"}, mentions: `does not let keys set "Plan"`},
		"several, in order":         {may: "b", sets: "c a b", want: "b", fields: []string{"spec.context[a]", "spec.context[c]"}, mentions: "spec.keyPolicy.keysMaySet of the Group"},
		"where none may be set":     {sets: "plan", fields: []string{"spec.context[plan]"}, mentions: "lets them set none"},
		"one that the Group itself": {sets: "database", fields: []string{"spec.context[database]"}, mentions: "it has no effect"},
	} {
		t.Run(name, func(t *testing.T) {
			g, key := group(), &v1alpha1.ApiKey{}
			g.Spec.Context = map[string]v1alpha1.ContextValue{"database": "acme_prod"}
			key.Namespace, key.Spec.GroupRef.Name, key.Spec.Projects = g.Namespace, g.Name, []v1alpha1.ProjectName{"product"}
			key.Spec.Permissions = []v1alpha1.PermissionName{"read"}
			for _, text := range strings.Fields(test.may) {
				g.Spec.KeyPolicy.KeysMaySet = append(g.Spec.KeyPolicy.KeysMaySet, v1alpha1.ContextName(text))
			}
			for _, text := range strings.Fields(test.sets) {
				if key.Spec.Context == nil {
					key.Spec.Context = map[string]v1alpha1.ContextValue{}
				}
				key.Spec.Context[text] = v1alpha1.ContextValue("of " + text)
			}
			subject := grant.ForKey(key, nil)
			granted, problems := grant.Grant(subject, g), grant.CheckAll(subject, g)
			if got := words(slices.Sorted(maps.Keys(granted.Context))); got != test.want {
				t.Errorf("granted %q, want %q", got, test.want)
			}
			for name, value := range granted.Context {
				if value != v1alpha1.ContextValue("of "+name) {
					t.Errorf("%s is %q", name, value)
				}
			}
			var fields []string
			for _, problem := range problems {
				fields = append(fields, problem.Field)
				if problem.Reason != v1alpha1.ReasonContextNotAllowed || !problem.Elsewhere {
					t.Errorf("%+v", problem)
				}
			}
			if !slices.Equal(fields, test.fields) || (granted.Problem == nil) != (len(fields) == 0) || granted.Partly() != (len(fields) > 0) {
				t.Fatalf("problems with %q, want %q; %+v", fields, test.fields, granted)
			}
			if len(fields) == 0 {
				return
			}
			if !strings.Contains(granted.Problem.Message, test.mentions) {
				t.Error(granted.Problem.Message)
			}
			if text := granted.Narrowed().Message; strings.Contains(text, ", context ") != (test.want != "") {
				t.Error(text)
			}
		})
	}
}

// TestContextIsNeverWider: for any key and Group, no value gets through whose name the Group does not list, nor any of a
// Group that does not admit the key, and the loss of one is noticed.
func TestContextIsNeverWider(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "A", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		g, key := group(), &v1alpha1.ApiKey{}
		key.Namespace, key.Spec.GroupRef.Namespace = rapid.SampledFrom([]string{g.Namespace, g.Namespace, "web"}).Draw(t, "namespace"), g.Namespace
		key.Spec.GroupRef.Name = g.Name
		key.Spec.Projects = []v1alpha1.ProjectName{rapid.SampledFrom([]v1alpha1.ProjectName{"product", "none"}).Draw(t, "project")}
		may := rapid.SliceOfNDistinct(names, 0, 4, rapid.ID).Draw(t, "may")
		for _, name := range may {
			g.Spec.KeyPolicy.KeysMaySet = append(g.Spec.KeyPolicy.KeysMaySet, v1alpha1.ContextName(name))
		}
		key.Spec.Context = map[string]v1alpha1.ContextValue{}
		for _, name := range rapid.SliceOf(names).Draw(t, "sets") {
			key.Spec.Context[name] = "x"
		}
		subject := grant.ForKey(key, nil)
		granted := grant.Grant(subject, g)
		for _, name := range []string{"a", "A", "b", "c"} {
			_, sets := key.Spec.Context[name]
			_, has := granted.Context[name]
			if want := sets && key.Namespace == g.Namespace && slices.Contains(may, name); has != want {
				t.Fatalf("%s: granted %v, want %v", name, has, want)
			}
		}
		g.Spec.KeyPolicy.KeysMaySet = nil
		if less := grant.Grant(subject, g); less.LessThan(granted) != (len(granted.Context) > 0) || granted.LessThan(less) {
			t.Fatalf("%+v, and then %+v", granted, less)
		}
	})
}
