package forwardauth

import (
	"net/http"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// What Traefik's middleware replacePath makes of a request: this path, with the client's query, and the client's path
// in a header, to which it adds instead of replacing it.
const (
	pathPreflights     = "/preflights"
	headerReplacedPath = "X-Replaced-Path"
)

// respondToPreflight responds instead of the content server. No request passes here.
func (h *handler) respondToPreflight(w http.ResponseWriter, r *http.Request) {
	requestID := httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...)
	w.Header().Set(httpapi.HeaderRequestID, requestID)
	lines := r.Header[headerReplacedPath]
	if len(lines) != 1 || lines[0] == "" {
		incomplete(headerReplacedPath).Denial().Write(w)
		return
	}
	request := authorizer.Request{
		Request: httpapi.NewRequest(h.integration.Keys(), r.Header, r.Method, r.Host, lines[0], r.URL.RawQuery),
		Client:  h.client(clientaddr.Peer(r.RemoteAddr), r.Header),
		ID:      requestID,
	}
	request.TrustedProject, request.NeedsHost = r.PathValue(parameterProject), true
	if h.integration.Traced() {
		request.Trace = h.parent(clientaddr.Peer(r.RemoteAddr), r.Header)
	}
	result := h.integration.Decide(r.Context(), &request)
	if result.Allowed() {
		httpapi.NewProblem(http.StatusBadRequest, "preflight_expected", "Not a preflight",
			"This path is for preflights only.").Denial().Write(w)
		return
	}
	httpapi.NewDenial(result.Decision, &request.Request, result.RetryAfter).Write(w)
}
