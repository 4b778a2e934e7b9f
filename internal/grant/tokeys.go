package grant

import (
	"encoding/json"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// GrantedToKeys returns a text that is the same for two states of a group unless Grant may say something else of some key. It
// has what Grant reads: a group has other fields that change more often.
func GrantedToKeys(group *v1alpha1.Group) string {
	from, _ := Admits(Subject{}, group)
	text, err := json.Marshal([]any{Projects(group), permissions(group), from, group.Spec.KeyPolicy.KeysMaySet})
	if err != nil {
		return "" // names and selectors are text
	}
	return string(text)
}
