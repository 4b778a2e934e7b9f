package publish

import (
	"slices"
	"testing"
)

// TestRefusedDomainsAreNotPublished: what admission refuses allows nothing if it exists nevertheless, such as in a list that is older
// than the rule.
func TestRefusedDomainsAreNotPublished(t *testing.T) {
	got := canonicalPatterns([]string{"*.co.uk", "ACME.example.", "null", "app-*.com.br", "*.vercel.app", "capacitor://localhost", "acme.example/x"})
	if want := []string{"acme.example", "*.vercel.app", "capacitor://localhost"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
