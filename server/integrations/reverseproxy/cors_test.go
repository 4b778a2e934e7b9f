package reverseproxy

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestResponsesOfTheUpstream gain CORS headers, unless the upstream supports CORS itself.
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
		"an origin":              {working, "/", page, page, "Authorization, X-Api-Key, Origin", ""},
		"no origin":              {working, "/", "", "", "Authorization, X-Api-Key, Origin, Referer, Sec-Fetch-Site", ""},
		"early hints":            {working, "/hints", page, page, "Authorization, X-Api-Key, Origin", ""},
		"vary on something else": {working, "/?Vary=Accept", page, page, "Accept, Authorization, X-Api-Key, Origin", ""},
		"vary on the origin":     {working, "/?Vary=accept,+origin", page, page, "accept, origin, Authorization, X-Api-Key", ""},
		"vary on everything":     {working, "/?Vary=*", page, page, "*", ""},
		"the upstream's own": {working,
			"/?Access-Control-Allow-Origin=https://other.example&Access-Control-Allow-Credentials=true", page,
			"https://other.example", "Authorization, X-Api-Key, Origin", "true"},
		"half of the upstream's":  {working, "/?Access-Control-Allow-Credentials=true", page, page, "Authorization, X-Api-Key, Origin", ""},
		"no upstream":             {broken, "/", page, page, "Authorization, X-Api-Key, Origin", ""},
		"no upstream, no origin":  {broken, "/", "", "", "Authorization, X-Api-Key, Origin, Referer, Sec-Fetch-Site", ""},
		"a wildcard of theirs":    {working, "/?Access-Control-Allow-Origin=*", page, "*", "Authorization, X-Api-Key, Origin", ""},
		"a list of vary elements": {working, "/?Vary=a&Vary=b,Origin", page, page, "a, b,Origin, Authorization, X-Api-Key", ""},
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
			for name, want := range map[string]string{"Access-Control-Allow-Origin": c.allowOrigin, "Vary": c.vary,
				"Access-Control-Allow-Credentials": c.allCredentials} {
				if got := strings.Join(response.Header[name], "|"); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}
