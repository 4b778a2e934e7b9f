package reverseproxy

import (
	"net/http/httputil"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/server/clientaddr"
)

const (
	headerForwardedHost  = "X-Forwarded-Host"
	headerForwardedProto = "X-Forwarded-Proto"
)

// tellForwarded tells the upstream who asks, for which host and by which protocol. What a
// trusted proxy says of that is passed on, with its address added to the list; what anybody
// else says has been removed by ReverseProxy.
func (h *handler) tellForwarded(r *httputil.ProxyRequest) {
	clients := h.config.Clients
	believed := clients.Trusts(clientaddr.Peer(r.In.RemoteAddr))
	byForwarded := clients.Header() == clientaddr.HeaderForwarded
	if believed && !byForwarded {
		r.Out.Header[clientaddr.HeaderXForwardedFor] = slices.Clone(r.In.Header[clientaddr.HeaderXForwardedFor])
	}
	r.SetXForwarded()
	if believed && !byForwarded { // one that writes Forwarded passes the others on as the client wrote them
		for _, name := range []string{headerForwardedHost, headerForwardedProto} {
			if lines := r.In.Header[name]; len(lines) == 1 && lines[0] != "" {
				r.Out.Header[name] = lines
			}
		}
	}
	if !byForwarded {
		return
	}
	elements := []string{clientaddr.Forwarded(r.In.RemoteAddr, r.In.Host, r.Out.Header.Get(headerForwardedProto))}
	if believed {
		elements = append(slices.Clone(r.In.Header[clientaddr.HeaderForwarded]), elements...)
	}
	r.Out.Header[clientaddr.HeaderForwarded] = []string{strings.Join(elements, ", ")}
}
