package publish

import (
	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// sealedRecord has what is sealed of the values that the Group declares; nil if there is none. They are sealed by the reconciler, which
// records them in the status: so a new leader publishes what is known already, and the record is made of the object alone.
func sealedRecord(group *v1alpha1.Group) map[string]string {
	declared := make(map[v1alpha1.ContextName]bool, len(group.Spec.SealedContext))
	for i := range group.Spec.SealedContext {
		declared[group.Spec.SealedContext[i].Name] = true
	}
	var record map[string]string
	for _, value := range group.Status.SealedContext {
		if !declared[value.Name] {
			continue
		}
		if record == nil {
			record = make(map[string]string, len(declared))
		}
		record[string(value.Name)] = value.Sealed
	}
	return record
}
