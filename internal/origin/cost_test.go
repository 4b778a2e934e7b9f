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
		for _, begin := range []string{"*.", "a*.", "capacitor://", ""} {
			text := begin + host
			if is, within := cost.Within(cost.Cost{Allocated: 1 << 20, Worked: 50 * time.Millisecond}, func() {
				if _, err := origin.ParsePattern(text); err == nil || len(err.Error()) > 2000 {
					t.Errorf("%s: %s is accepted as a pattern, or with a long error: %.100v", name, begin, err)
				}
			}); !within {
				t.Errorf("%s: reading a pattern that begins with %q costs %+v", name, begin, is)
			}
		}
		for _, begin := range []string{"capacitor://", "http://", host + "://"} {
			text := begin + host
			if is, within := cost.Within(cost.Cost{Allocated: 1 << 20, Worked: 50 * time.Millisecond}, func() {
				if _, err := origin.Parse(text); err == nil {
					t.Errorf("%s: %.20s is accepted as an origin", name, begin)
				}
			}); !within {
				t.Errorf("%s: reading an origin costs %+v", name, is)
			}
		}
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
