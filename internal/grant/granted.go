package grant

import (
	"encoding/json"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// GrantedToKeys returns a text that is the same for two states of a group unless Check may say something else of some key. It
// has what Check reads: a group has other fields that change more often.
func GrantedToKeys(group *v1alpha1.Group) string {
	capabilities := make([]v1alpha1.PermissionName, 0, len(group.Spec.Capabilities))
	for i := range group.Spec.Capabilities {
		capabilities = append(capabilities, group.Spec.Capabilities[i].Name)
	}
	from, _ := Admits(Subject{}, group)
	text, err := json.Marshal([]any{Projects(group), capabilities, from})
	if err != nil {
		return "" // names and selectors are text
	}
	return string(text)
}
