package origin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/test/cost"
)

// TestCost: a host that is too long is refused before anything is computed from it. The time to convert an international
// name to punycode grows with the square of its length.
func TestCost(t *testing.T) {
	var many strings.Builder
	for r := rune(0x4e00); many.Len() < 64<<10; r++ {
		many.WriteRune(0x4e00 + (r-0x4e00)%20_000)
	}
	for name, host := range map[string]string{
		"letters": strings.Repeat("a", 1<<20), "dots": strings.Repeat("a.", 1<<19), "international": many.String(),
		"upper case": strings.Repeat("É", 1<<18), "brackets": "[" + strings.Repeat("1:", 1<<19) + "]",
	} {
		written, pattern := "https://"+host, "*."+host
		bound := cost.Cost{Allocated: 1 << 20, Worked: 50 * time.Millisecond}
		if is, within := cost.Within(bound, func() {
			if _, err := origin.Parse(written); err == nil {
				t.Errorf("%s: accepted as an origin", name)
			}
		}); !within {
			t.Errorf("%s: reading an origin costs %+v", name, is)
		}
		if is, within := cost.Within(bound, func() {
			if _, err := origin.ParsePattern(pattern); err == nil || len(err.Error()) > 2000 {
				t.Errorf("%s: accepted as a pattern, or with a long error: %.100v", name, err)
			}
		}); !within {
			t.Errorf("%s: reading a pattern costs %+v", name, is)
		}
	}
}
