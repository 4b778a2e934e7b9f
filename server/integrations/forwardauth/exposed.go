package forwardauth

import (
	"strings"

	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// What the proxy has to replace in a request that is allowed. X-Keyward-Query is for proxies that can replace the query only.
const (
	headerTarget   = "X-Keyward-Uri"
	headerQuery    = "X-Keyward-Query"
	headerReferer  = "X-Keyward-Referer"
	headerProtocol = "X-Keyward-Websocket-Protocol" // to select
)

// appendExposed adds what is left of an allowed request without the key, and what a proxy would otherwise have to know about
// keys: which Authorization is for the content server.
func (h *handler) appendExposed(headers []httpapi.Header, e *requestContext, rawQuery string) []httpapi.Header {
	add := func(name, value string) { headers = append(headers, httpapi.Header{Name: name, Value: value}) }
	request := &e.request.Request
	if request.OwnAuthorization {
		add(httpapi.HeaderAuthorization, e.Header[httpapi.HeaderAuthorization][0])
	}
	exposed := httpapi.ExposedBy(h.integration.Keys(), e.Header, request, rawQuery)
	if exposed.Target != "" {
		add(headerTarget, exposed.Target)
		add(headerQuery, request.RawQuery)
	}
	referers := exposed.Referers
	if h.keepsKey && referers == nil { // it replaces headers under their own names only, and removes what is not there
		referers = e.Header["Referer"]
	}
	switch {
	case len(referers) == 0:
	case h.keepsKey:
		add("Referer", strings.Join(referers, ", "))
	default:
		add(headerReferer, strings.Join(referers, ", "))
	}
	if request.Location.InURL() {
		headers = append(headers, httpapi.ReferrerPolicy)
	}
	switch offered := e.Header[credential.HeaderWebSocketProtocol]; {
	case len(offered) == 0:
	case !exposed.Offer.Changed:
		add(credential.HeaderWebSocketProtocol, strings.Join(offered, ", "))
	case exposed.Offer.Pass != "":
		add(credential.HeaderWebSocketProtocol, exposed.Offer.Pass)
	}
	if exposed.Offer.Select != "" {
		add(headerProtocol, exposed.Offer.Select)
	}
	return headers
}
