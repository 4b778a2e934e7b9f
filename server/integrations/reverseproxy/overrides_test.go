package reverseproxy

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// TestOverridesAreRemoved: of headers that could change the request, or say that it comes from elsewhere, the upstream
// sees only what a trusted proxy or the proxy itself has set.
func TestOverridesAreRemoved(t *testing.T) {
	sent := []string{
		"X-HTTP-Method-Override: evil", "x-http-method: evil", "X_Method_Override: evil", "X-Original-URL: evil",
		"X-Rewrite-Url: evil", "X_ORIGINAL_URI: evil", "X-Forwarded-Uri: evil", "X-Forwarded-Path: evil", "X-Forwarded-Prefix: evil",
		"X-Forwarded-Method: evil", "X-Original-Method: evil", "X-Original-Host: evil", "X-Host: evil",
		"X-Forwarded-Server: evil", "X_Forwarded_For: evil", "X-Forwarded_Host: evil", "X_Real_IP: evil",
		"X-Real-IP: proxy", "True-Client-IP: proxy", "CF-Connecting-IP: proxy", "X-Client-IP: proxy",
		"X-Cluster-Client-IP: proxy", "X-Forwarded-Port: proxy", "X-Forwarded-Ssl: proxy", "Front-End-Https: proxy", "X-Custom: stays",
	}
	seen := make(chan http.Header, 1)
	upstream := func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }
	trusted := clientaddr.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, clientaddr.HeaderXForwardedFor)
	const own = "X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Keyward-Group X-Keyward-Key-Id X-Keyward-Permissions " +
		"X-Keyward-Project X-Request-Id"
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"by default": {Config{}, "X-Custom " + own},
		"trusted": {Config{Clients: trusted}, "Cf-Connecting-Ip Front-End-Https True-Client-Ip X-Client-Ip " +
			"X-Cluster-Client-Ip X-Custom X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Forwarded-Ssl" +
			strings.TrimSuffix(strings.TrimPrefix(own, "X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto"), "X-Request-Id") +
			"X-Real-Ip X-Request-Id"},
		"kept": {Config{Stripping: httpapi.Stripping{KeepOverrides: []string{"X-HTTP-METHOD-Override", "X-Rewrite-URL"}}},
			"X-Custom X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Http-Method-Override" + strings.TrimPrefix(own,
				"X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto") + " X-Rewrite-Url"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, upstream, c.config)
			conn, err := net.Dial("tcp", f.address.String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := io.WriteString(conn,
				"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Api-Key: "+f.key+"\r\n"+strings.Join(sent,
					"\r\n")+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			header := <-seen
			delete(header, "Accept-Encoding")
			if got := strings.Join(slices.Sorted(maps.Keys(header)), " "); got != c.want {
				t.Errorf("the upstream sees\n%s\nwant\n%s", got, c.want)
			}
			if text := fmt.Sprint(header); c.want != "" && len(c.config.Stripping.KeepOverrides) == 0 &&
				strings.Contains(text, "evil") || header.Get("X-Forwarded-For") != "127.0.0.1" {
				t.Errorf("the upstream sees %s", text)
			}
			if _, err := io.ReadAll(conn); err != nil {
				t.Error(err)
			}
		})
	}
}
