package grant

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// GrantedToKeys returns a text that is the same for two states of a group unless Grant may say something else of some key. It
// has what Grant reads: a group has other fields that change more often.
func GrantedToKeys(group *v1alpha1.Group) string {
	from, _ := Admits(Subject{}, group)
	text, err := json.Marshal([]any{Projects(group), Permissions(group), from, RequiresAddresses(group), group.Spec.KeyPolicy.KeysMaySet})
	if err != nil {
		return "" // names and selectors are text
	}
	return string(text)
}

// ConcernsKeys reports whether a change of a Group may matter to its keys. Its context does not, sealed or not: it is in the record of the
// Group alone, and may change often, while a Group may have very many keys.
func ConcernsKeys(before, after v1alpha1.GroupSpec) bool {
	before.Context, after.Context, before.SealedContext, after.SealedContext = nil, nil, nil, nil
	return !equality.Semantic.DeepEqual(before, after)
}
