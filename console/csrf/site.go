package csrf

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

var (
	errSite    = errors.New("this was sent by another site")
	errUnknown = errors.New("the browser does not say which site sent this")
)

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// checkSite says why a request may be the doing of another site. Browsers say who sends it in Sec-Fetch-Site (W3C Fetch Metadata), over TLS and to the
// machine itself; older ones send an Origin with every form.
//
// Another port of the same host is same-site, and refused as well: on the machine itself it may be anything.
func checkSite(r *http.Request, origins []string) error {
	site := r.Header.Values("Sec-Fetch-Site")
	if isSafe(r.Method) {
		// A link or a bookmark may lead to a page. Other sites may not frame it or load it as a picture or a script, also where cookies are sent along.
		if len(site) == 0 || slices.Equal(site, []string{"same-origin"}) || slices.Equal(site, []string{"none"}) || isNavigation(r) {
			return nil
		}
		return errSite
	}
	switch {
	case len(site) == 1 && (site[0] == "same-origin" || site[0] == "none"):
		return nil
	case len(site) > 0:
		return errSite
	}
	origin := r.Header.Values("Origin")
	switch {
	case len(origin) == 0:
		return errUnknown
	case len(origin) == 1 && slices.Contains(origins, origin[0]):
		return nil
	}
	return errSite
}

func isNavigation(r *http.Request) bool {
	return r.Method != http.MethodOptions && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// OnlyHosts lets next answer requests to these hosts only, each with its port unless that is the scheme's own. A console on the machine itself needs it:
// another site can have its name resolve to 127.0.0.1, and is then the same origin for browsers.
func OnlyHosts(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.ContainsFunc(hosts, func(host string) bool { return strings.EqualFold(host, r.Host) }) {
			http.Error(w, "this host is not served here", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
