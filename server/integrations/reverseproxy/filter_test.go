package reverseproxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"testing"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// aboutKeeping are headers about who may keep or read a response, or Keyward's own. Only the final response may have them,
// whose headers are filtered.
var aboutKeeping = []string{
	"Cache-Control", "Expires", "Pragma", "Age", "Vary", "X-Accel-Expires", "Surrogate-Control", "Cdn-Cache-Control",
	"X-Litespeed-Cache", "X_accel.expires",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "X-Request-Id", "X-Keyward-Caching", "X-Keyward-Group",
	"Ratelimit", "Ratelimit-Policy",
}

// TestHintsAndTrailersSayNothingToCaches: neither informational responses nor trailers say that a shared cache may keep
// a response, or who may read it.
func TestHintsAndTrailersSayNothingToCaches(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		set := func(prefix, value string) {
			for _, name := range aboutKeeping {
				w.Header()[prefix+name] = []string{value}
			}
		}
		switch r.URL.Path {
		case "/hints":
			set("", "public, max-age=3600")
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			clear(w.Header())
		case "/announced":
			for _, name := range append(aboutKeeping, "X-Sum") {
				w.Header().Add("Trailer", name)
			}
			_, _ = io.WriteString(w, "text")
			set("", "public, max-age=3600")
			w.Header().Set("X-Sum", "sum")
		case "/late":
			_, _ = io.WriteString(w, "text")
			_ = http.NewResponseController(w).Flush() // otherwise its length would be known
			set(http.TrailerPrefix, "public, max-age=3600")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "sum")
		}
	}, func(t *testing.T, client *http.Client, f *front) {
		for _, path := range []string{"/hints", "/announced", "/late"} {
			hints := textproto.MIMEHeader{}
			response := f.post(t, client, path, http.NoBody, func(r *http.Request) {
				*r = *r.WithContext(httptrace.WithClientTrace(r.Context(),
					&httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
						hints = header
						return nil
					}}))
			})
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Fatal(err)
			}
			for _, name := range aboutKeeping {
				if lines := hints[name]; len(lines) > 0 {
					t.Errorf("%s: hints say %s: %q", path, name, lines)
				}
				if lines, announced := response.Trailer[name]; announced {
					t.Errorf("%s: a trailer says %s: %q", path, name, lines)
				}
			}
			if path == "/hints" && hints.Get("Link") == "" || path != "/hints" && fmt.Sprint(response.Trailer) != "map[X-Sum:[sum]]" {
				t.Errorf("%s: hints %q, trailers %q", path, hints, response.Trailer)
			}
			if response.StatusCode != http.StatusOK || response.Header.Get("Cache-Control") != "private" ||
				len(response.Header["X-Request-Id"]) != 1 {
				t.Errorf("%s: %d %q", path, response.StatusCode, response.Header)
			}
		}
	})
}

// TestUpstreamSetsNoHeadersOfKeyward: a gateway in front would trust them.
func TestUpstreamSetsNoHeadersOfKeyward(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"X-Keyward-Caching", "X-Keyward-Group", "X-Keyward-Status", "X.keyward.group"} {
			w.Header()[name] = []string{"shared"}
		}
	}, func(t *testing.T, client *http.Client, f *front) {
		response := f.post(t, client, "/", http.NoBody, func(*http.Request) {})
		if httpapi.SendsReserved(response.Header) {
			t.Errorf("%q", response.Header)
		}
	})
}
