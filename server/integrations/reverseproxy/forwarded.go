package reverseproxy

import (
	"net/http/httputil"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	headerForwardedHost  = "X-Forwarded-Host"
	headerForwardedProto = "X-Forwarded-Proto"
)

// setForwarded tells the upstream who sent the request, for which host and by which protocol. What a trusted proxy says
// about that is passed on, with the proxy's address added to the list. What anybody else says has been removed.
func (h *handler) setForwarded(r *httputil.ProxyRequest, trusted bool) {
	byForwarded := h.config.Clients.Header() == clientaddr.HeaderForwarded
	if trusted && !byForwarded {
		r.Out.Header[clientaddr.HeaderXForwardedFor] = slices.Clone(r.In.Header[clientaddr.HeaderXForwardedFor])
	}
	r.SetXForwarded()
	if trusted && !byForwarded { // a proxy that writes Forwarded passes the others on as the client wrote them
		if lines := r.In.Header[headerForwardedHost]; len(lines) == 1 && httpapi.IsHost(lines[0]) {
			r.Out.Header[headerForwardedHost] = lines
		}
		if lines := r.In.Header[headerForwardedProto]; len(lines) == 1 && httpapi.IsToken(lines[0]) {
			r.Out.Header[headerForwardedProto] = lines
		}
	}
	if r.Out.Header.Get(headerForwardedHost) == "" { // a request of HTTP/1.0 may have none
		delete(r.Out.Header, headerForwardedHost)
	}
	if !byForwarded {
		return
	}
	elements := []string{clientaddr.Forwarded(r.In.RemoteAddr, r.In.Host, r.Out.Header.Get(headerForwardedProto))}
	if trusted {
		elements = append(slices.Clone(r.In.Header[clientaddr.HeaderForwarded]), elements...)
	}
	r.Out.Header[clientaddr.HeaderForwarded] = []string{strings.Join(elements, ", ")}
}
