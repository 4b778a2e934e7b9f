package reverseproxy

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestResponsesOfTheUpstream: it gains CORS headers, unless the upstream speaks CORS itself.
func TestResponsesOfTheUpstream(t *testing.T) {
	const page = "http://localhost:5173"
	upstream := func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			w.Header()[name] = values
		}
		if r.URL.Path == "/hints" {
			w.WriteHeader(http.StatusEarlyHints)
		}
	}
	working := start(t, upstream, Config{})
	broken := start(t, upstream, Config{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}})
	for name, c := range map[string]struct {
		front                             *front
		target, origin                    string
		allowOrigin, vary, allCredentials string
	}{
		"an origin":               {working, "/", page, page, "Origin", ""},
		"no origin":               {working, "/", "", "", "Origin", ""},
		"early hints":             {working, "/hints", page, page, "Origin", ""},
		"vary on something else":  {working, "/?Vary=Accept", page, page, "Accept|Origin", ""},
		"vary on the origin":      {working, "/?Vary=accept,+origin", page, page, "accept, origin", ""},
		"vary on everything":      {working, "/?Vary=*", page, page, "*", ""},
		"the upstream's own":      {working, "/?Access-Control-Allow-Origin=https://other.example&Access-Control-Allow-Credentials=true", page, "https://other.example", "Origin", "true"},
		"half of the upstream's":  {working, "/?Access-Control-Allow-Credentials=true", page, page, "Origin", ""},
		"no upstream":             {broken, "/", page, page, "Origin", ""},
		"no upstream, no origin":  {broken, "/", "", "", "Origin", ""},
		"a wildcard of theirs":    {working, "/?Access-Control-Allow-Origin=*", page, "*", "Origin", ""},
		"a list of vary elements": {working, "/?Vary=a&Vary=b,Origin", page, page, "a|b,Origin", ""},
	} {
		t.Run(name, func(t *testing.T) {
			request := c.front.request(t.Context(), t, c.target)
			if c.origin != "" {
				request.Header.Set("Origin", c.origin)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			for name, want := range map[string]string{"Access-Control-Allow-Origin": c.allowOrigin, "Vary": c.vary, "Access-Control-Allow-Credentials": c.allCredentials} {
				if got := strings.Join(response.Header[name], "|"); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}
