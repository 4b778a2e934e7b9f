package lifecycle_test

import (
	"testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

func TestClaimedBy(t *testing.T) {
	delivered := version(1, v1alpha1.VersionActive)
	delivered.DeliveredAt = at(0)
	key := input(delivered, version(2, v1alpha1.VersionPending)).Key
	for value, want := range map[string]bool{
		"kaaa-1": true,
		"1":      false, // of which key?
		"kbbb-1": false, // of one that had the name before
		"kaaa-2": false, // nobody can have it yet
		"kaaa-":  false,
		"":       false,
	} {
		key.Annotations = map[string]string{v1alpha1.AnnotationClaimedVersion: value}
		claimed := lifecycle.ClaimedBy(key, "kaaa", "1") || lifecycle.ClaimedBy(key, "kaaa", "2") || lifecycle.ClaimedBy(key, "kaaa", "")
		if claimed != want {
			t.Errorf("%q: %v", value, claimed)
		}
	}
}
