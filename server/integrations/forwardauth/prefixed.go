package forwardauth

import (
	"net/http"
	"strings"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// headerRemoval names headers that Envoy removes from an allowed request, separated by commas. Envoy obeys it in the
// response of an HTTP service only, and passes it on to nobody.
const headerRemoval = "X-Envoy-Auth-Headers-To-Remove"

// Prefixed returns a handler that responds to requests which are the original ones, with a prefix in front of their
// targets, and leaves all others to next. It reads the target as it was sent: a mux would decode and clean the path, or
// redirect, before anybody could refuse it.
func (p *FastPath) Prefixed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, project, target := p.split(r.RequestURI)
		if h == nil {
			next.ServeHTTP(w, r)
			return
		}
		h.write(w, r, &requestContext{
			FastRequest: httpapi.FastRequest{Host: r.Host, Peer: clientaddr.Peer(r.RemoteAddr), Header: r.Header},
			projectPath: project, method: r.Method, target: target,
		})
	})
}

// split takes a target apart: the prefix of a profile, which may name a project, and the original target, which begins
// with a slash. Nothing is decoded, so that an original target never becomes part of the prefix.
func (p *FastPath) split(target string) (h *handler, project, original string) {
	rest, ok := strings.CutPrefix(target, pathAuthz)
	if !ok {
		return nil, "", ""
	}
	if named, ok := strings.CutPrefix(target, pathProjects); ok {
		project, _, _ = strings.Cut(named, "/")
		if !isSimple(project) {
			return nil, "", ""
		}
		rest = named[len(project):]
	}
	for _, h := range p.prefixed {
		original, ok := strings.CutPrefix(rest, strings.TrimPrefix(h.path, pathAuthz))
		if ok && strings.HasPrefix(original, "/") {
			return h, project, original
		}
	}
	return nil, "", ""
}

// isPlain reports whether the target has only characters that net/http leaves as they are.
func isPlain(target string) bool {
	for i := range len(target) {
		c := target[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-._~/!$&'()*+,:@=?", c) < 0 {
			return false
		}
	}
	return true
}

// appendRemoval lets Envoy remove the key, and what only Keyward may set. Envoy's configuration removes all others: it does
// not send them here, so nobody here knows of them.
func (h *handler) appendRemoval(headers []httpapi.Header, e *requestContext) []httpapi.Header {
	from := httpapi.Sender{OwnAuthorization: e.request.OwnAuthorization}
	if names := h.stripping.OwnNames(e.Header, from, headers); len(names) > 0 {
		headers = append(headers, httpapi.Header{Name: headerRemoval, Value: strings.Join(names, ",")})
	}
	return headers
}
