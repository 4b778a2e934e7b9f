package hostile

import (
	"testing"

	"github.com/keyward-dev/keyward/internal/routing"
)

// TestKindsAreAdmitted: a Group that is too large would own nothing, and cost nothing.
func TestKindsAreAdmitted(t *testing.T) {
	for _, kind := range Kinds() {
		total := 0
		for _, route := range kind.routes {
			total += size(route)
		}
		if total > routing.MaxSize || total < routing.MaxSize/2 && len(kind.patterns) == 0 {
			t.Errorf("%s: a size of %d", kind.Name, total)
		}
	}
}
