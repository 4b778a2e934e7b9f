package reverseproxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"github.com/keyward-dev/keyward/internal/clientaddr"
)

// TestForwardedHeaders: a trusted proxy's list is kept and added to, anybody else's is replaced.
func TestForwardedHeaders(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	sent := http.Header{"X-Forwarded-For": {"192.0.2.1", "192.0.2.2"}, "X-Forwarded-Host": {"cdn.acme.example"},
		"X-Forwarded-Proto": {"https"}, "Forwarded": {"for=192.0.2.3"}}
	for name, c := range map[string]struct {
		clients *clientaddr.Resolver
		want    string
	}{
		"trusted": {clientaddr.New(proxies, clientaddr.HeaderXForwardedFor),
			`["192.0.2.1, 192.0.2.2, 127.0.0.1"] ["cdn.acme.example"] ["https"] []`},
		"untrusted": {clientaddr.New(nil, clientaddr.HeaderXForwardedFor), `["127.0.0.1"] ["h.example"] ["http"] []`},
		"nobody is": {nil, `["127.0.0.1"] ["h.example"] ["http"] []`},
		"Forwarded, trusted": {clientaddr.New(proxies, clientaddr.HeaderForwarded),
			`["127.0.0.1"] ["h.example"] ["http"] ["for=192.0.2.3, for=127.0.0.1;host=\"h.example\";proto=http"]`},
		"Forwarded": {clientaddr.New(nil, clientaddr.HeaderForwarded),
			`["127.0.0.1"] ["h.example"] ["http"] ["for=127.0.0.1;host=\"h.example\";proto=http"]`},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = fmt.Fprintf(w, "%q %q %q %q", r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Host"],
					r.Header["X-Forwarded-Proto"], r.Header["Forwarded"])
			}, Config{Clients: c.clients})
			request := f.request(t.Context(), t, "/")
			request.Host = "h.example"
			for name, lines := range sent {
				request.Header[name] = lines
			}
			if got := do(t, http.DefaultClient, request).body; got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestConnectionCannotRemoveDecisiveHeaders names decisive headers as hop-by-hop ones.
func TestConnectionCannotRemoveDecisiveHeaders(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%q %q %q %q", r.Header["Origin"], r.Header["Referer"], r.Header["Authorization"], r.Header["X-Custom"])
	}, Config{})
	request := f.request(t.Context(), t, "/")
	request.Header.Del("Authorization")
	for name, value := range map[string]string{"X-Api-Key": f.key, "Authorization": "Basic dTpw", "Origin": "http://localhost:1",
		"Referer": "http://localhost:1/", "X-Custom": "gone",
		"Connection": "Origin, referer, Authorization, X-Api-Key, X-Custom, X-Forwarded-For"} {
		request.Header.Set(name, value)
	}
	if got, want := do(t, http.DefaultClient,
		request).body, `["http://localhost:1"] ["http://localhost:1/"] ["Basic dTpw"] []`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
