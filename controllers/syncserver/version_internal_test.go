package syncserver

import (
	"strings"
	"testing"
)

// TestShownVersion: what cannot be shown is left out, and no server is refused for it.
func TestShownVersion(t *testing.T) {
	for version, want := range map[string]string{
		"":                      "",
		"v0.1.0":                "v0.1.0",
		"v0.1.0+dirty":          "v0.1.0+dirty",
		strings.Repeat("v", 64): strings.Repeat("v", 64),
		strings.Repeat("v", 65): "",
		"v1 (admin)":            "",
		"v1\x1b[31m":            "",
		"vé":                    "",
		"v1\n":                  "",
		"\u202ev1":              "",
	} {
		if got := shownVersion(version); got != want {
			t.Errorf("%q is shown as %q", version, got)
		}
	}
}
