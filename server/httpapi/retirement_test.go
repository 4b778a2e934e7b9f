package httpapi

import (
	"fmt"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

// TestRetirement: only what is allowed with a version in its overlap says so, in the forms of RFC 9745 and RFC 8594.
func TestRetirement(t *testing.T) {
	instant, readings := time.Date(2026, 11, 27, 12, 0, 0, 999, time.UTC), 0
	now := func() time.Time {
		readings++
		return instant
	}
	overlap := decision.Decision{Version: decision.Version{RetiresAtMillis: instant.Add(time.Hour).UnixMilli()}}
	if got := fmt.Sprint(Retirement(overlap, now)); got != "[{Deprecation @1795780800} {Sunset Fri, 27 Nov 2026 13:00:00 GMT}]" {
		t.Error(got)
	}
	if got := Retirement(decision.Decision{}, now); got != nil {
		t.Errorf("without an overlap: %v", got)
	}
	overlap.Code = decision.PermissionDenied
	if got := Retirement(overlap, now); got != nil {
		t.Errorf("denied: %v", got)
	}
	if readings != 1 {
		t.Errorf("the clock was read %d times", readings)
	}
}
