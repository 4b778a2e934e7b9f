package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

// The headers that tell the holder of a key that a newer version of it exists: since when it is known that this one is
// deprecated (RFC 9745), and from when on it is refused (RFC 8594).
const (
	HeaderDeprecation = "Deprecation"
	HeaderSunset      = "Sunset"
)

// Retirement returns these headers for a version in its overlap. Validation servers do not know when the overlap began, so it
// is deprecated as of now, a clock that is read for such a version only.
func Retirement(d decision.Decision, now func() time.Time) []Header {
	if !d.Retiring() || !d.Allowed() {
		return nil
	}
	ends := time.UnixMilli(d.Version.RetiresAtMillis).UTC()
	return []Header{
		{HeaderDeprecation, "@" + strconv.FormatInt(now().Unix(), 10)},
		{HeaderSunset, ends.Format(http.TimeFormat)},
	}
}
