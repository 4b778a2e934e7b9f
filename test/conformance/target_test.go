package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/authorizer"
)

// decided records the path and query of the last request that was allowed.
type decided struct{ path, rawQuery string }

// Record implements authorizer.Recorder.
func (d *decided) Record(_ string, _ time.Time, request *authorizer.Request, result *authorizer.Result) {
	if result.Allowed() {
		d.path, d.rawQuery = request.Path, request.RawQuery
	}
}

// FuzzTarget writes any target into a request line: the upstream receives exactly what was decided on, in any form of
// the target.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{
		"/api/scenes/mkt-1", "/api/scenes/mkt-1?q=/x", "http://cdn.acme.example/api/scenes/mkt-1?q",
		"HTTPS://cdn.acme.example?q://cdn.acme.example/api/scenes/mkt-1",
		"x:/other?q://cdn.acme.example/api/scenes/mkt-1", "http:/other?q://cdn.acme.example/api/scenes/mkt-1",
		"x:/other/../%2e%2e//s?q://cdn.acme.example/api/scenes/mkt-1",
		"http://cdn.acme.example#/api/scenes/mkt-1", "http:///api/scenes/mkt-1", "*", "cdn.acme.example:443", "/a%2fb|",
		"//cdn.acme.example/api/scenes/mkt-1", "?/api/scenes/mkt-1", "/%zz",
		"/api/scenes/mkt-%31", "/api/scenes/mkt-|", "http://cdn.acme.example/api/scenes/mkt-1/..;/x",
	} {
		f.Add(target)
	}
	keys, update := snapshot(f)
	var last decided
	ask := reverseProxy(f, newAuthorizer(f, "", update, authorizer.WithRecorder(&last)), nil)
	f.Fuzz(func(t *testing.T, target string) {
		if strings.ContainsAny(target, "\r\n") || len(target) > 4<<10 {
			return
		}
		var seen string
		last = decided{}
		_ = ask(t, testRequest{method: "GET", host: usualHost, target: target,
			lines: []string{"X-Api-Key: " + keys["good"].Reveal()}, arrived: func(target string) { seen = target }})
		if seen == "" {
			return
		}
		path, rawQuery, _ := strings.Cut(seen, "?")
		one, err := routing.CanonicalPath(path)
		other, otherErr := routing.CanonicalPath(last.path)
		if err != nil || otherErr != nil || one != other || rawQuery != last.rawQuery {
			t.Fatalf("%q was decided on as %q and %q, and arrived as %q", target, last.path, last.rawQuery, seen)
		}
	})
}
