package reverseproxy

import (
	"net/http"
	"net/url"
	"testing"
)

// TestOneRequestID is about responses with headers of their own, informational ones before
// them, and none at all.
func TestOneRequestID(t *testing.T) {
	upstream := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "of-the-upstream")
		w.Header().Set("X-Seen", r.Header.Get("X-Request-Id"))
		if r.URL.Path == "/hints" {
			w.WriteHeader(http.StatusEarlyHints)
		}
	}
	working := start(t, upstream, Config{})
	broken := start(t, upstream, Config{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}})
	for _, c := range []struct {
		front  *front
		target string
		status int
	}{{working, "/", 200}, {working, "/hints", 200}, {broken, "/", 502}} {
		request := c.front.request(t.Context(), t, c.target)
		request.Header.Set("X-Request-Id", "mine")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		ids := response.Header["X-Request-Id"]
		if response.StatusCode != c.status || len(ids) != 1 || ids[0] != "mine" || c.status == 200 &&
			response.Header.Get("X-Seen") != "mine" {
			t.Errorf("%s: %d %q", c.target, response.StatusCode, response.Header)
		}
	}
}
