package reverseproxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// TestNoKeyReachesTheUpstream: over HTTP/1 and HTTP/2, with and without --keep-credential, no key is left in a target, a
// Referer, a subprotocol or a header for keys, and the rest arrives as it was sent.
func TestNoKeyReachesTheUpstream(t *testing.T) {
	const page = "http://localhost:1/embed"
	for _, keep := range []bool{false, true} {
		seen := make(chan *http.Request, 1)
		f := startFor(t, func(w http.ResponseWriter, r *http.Request) {
			if policy := r.Header.Get("X-Say-Policy"); policy != "" {
				w.Header().Set("Referrer-Policy", policy)
			}
			w.Header().Set("Cache-Control", "public, max-age=60")
			seen <- r
		}, Config{Stripping: httpapi.Stripping{KeepCredential: keep}}, &syncv1.Group{Caching: syncv1.Caching_CACHING_SHARED,
			AcceptIn: []syncv1.KeyLocation{syncv1.KeyLocation_KEY_LOCATION_QUERY, syncv1.KeyLocation_KEY_LOCATION_WEBSOCKET_PROTOCOL}})
		for protocol, client := range clients(t) {
			for _, c := range []struct {
				target  string // {key} stands for the key
				header  map[string]string
				arrives string
				want    map[string]string // headers that the upstream sees
				policy  string
				cached  string
			}{
				{target: "/x?a=%2B&token={key}&b", arrives: "/x?a=%2B&b", policy: "strict-origin", cached: "private, max-age=60"},
				{target: "/x?token={key}", arrives: "/x", policy: "strict-origin", cached: "private, max-age=60"},
				{target: "/x?token={key}", header: map[string]string{"X-Say-Policy": "same-origin"}, arrives: "/x", policy: "same-origin",
					cached: "private, max-age=60"},
				{target: "/x?a", header: map[string]string{"X-Api-Key": "{key}", "Referer": page + "?b&token={key}"}, arrives: "/x?a",
					want: map[string]string{"Referer": page + "?b"}, cached: "public, max-age=60"},
				{target: "/x?", header: map[string]string{"Sec-WebSocket-Protocol": "chat, keyward.key.{key}"}, arrives: "/x?",
					want: map[string]string{"Sec-WebSocket-Protocol": "chat"}, cached: "public, max-age=60"},
				{target: "/x", header: map[string]string{"Sec-WebSocket-Protocol": "keyward.key.{key}, keyward"}, arrives: "/x",
					want: map[string]string{"Sec-WebSocket-Protocol": ""}, cached: "public, max-age=60"},
			} {
				t.Run(fmt.Sprint(protocol, ", keeps ", keep, " ", c.target, c.header), func(t *testing.T) {
					fill := strings.NewReplacer("{key}", f.key).Replace
					request := f.request(t.Context(), t, fill(c.target))
					request.Header = http.Header{}
					for name, value := range c.header {
						request.Header.Set(name, fill(value))
					}
					response, err := client.Do(request)
					if err != nil {
						t.Fatal(err)
					}
					_ = response.Body.Close()
					if response.StatusCode != http.StatusOK {
						t.Fatalf("the response is %d", response.StatusCode)
					}
					r := <-seen
					if r.RequestURI != c.arrives {
						t.Errorf("the upstream sees %q", strings.ReplaceAll(r.RequestURI, f.key, "{key}"))
					}
					if keep {
						r.Header.Del("X-Api-Key")
					}
					if strings.Contains(fmt.Sprint(r.Header), f.key) {
						t.Errorf("the upstream sees the key: %v", r.Header)
					}
					for name, want := range c.want {
						if got := r.Header.Get(name); got != want {
							t.Errorf("%s: %q, want %q", name, got, want)
						}
					}
					if got := response.Header.Get("Referrer-Policy"); got != c.policy {
						t.Errorf("Referrer-Policy: %q, want %q", got, c.policy)
					}
					if got := response.Header.Get("Cache-Control"); got != c.cached {
						t.Errorf("Cache-Control: %q, want %q", got, c.cached)
					}
				})
			}
		}
	}
}

// TestKeyHeadersAreRemoved: a header that is configured for keys reaches the upstream in no spelling.
func TestKeyHeadersAreRemoved(t *testing.T) {
	seen := make(chan http.Header, 1)
	f := start(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }, Config{})
	request := f.request(t.Context(), t, "/x")
	request.Header = http.Header{"X-Other-Key": {f.key}, "X_Other_Key": {"x"}, "X.OTHER.KEY": {"x"}, "X-Other": {"y"}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the response is %d", response.StatusCode)
	}
	got := <-seen
	for name := range got {
		if folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name)); folded == "x-other-key" {
			t.Errorf("the upstream sees %s", name)
		}
	}
	if got.Get("X-Other") != "y" || !strings.Contains(response.Header.Get("Vary"), "X-Other-Key") {
		t.Errorf("the upstream sees %v; the response varies on %q", got, response.Header["Vary"])
	}
}
