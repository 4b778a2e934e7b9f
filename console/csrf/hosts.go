package csrf

import (
	"net/http"
	"strings"

	"github.com/keyward-dev/keyward/console/refusal"
)

// OnlyHosts refuses requests whose Host is none of those given, such as localhost:8443: a site whose name its owner lets resolve to the
// address of the console would otherwise be of one origin with it, in the eyes of a browser (DNS rebinding). Ports are compared, too.
func OnlyHosts(page refusal.Page, hosts []string, next http.Handler) http.Handler {
	known := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		known[strings.ToLower(host)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !known[strings.ToLower(r.Host)] {
			refusal.Write(page, w, r, refusal.Refusal{Kind: refusal.HostUnknown})
			return
		}
		next.ServeHTTP(w, r)
	})
}
