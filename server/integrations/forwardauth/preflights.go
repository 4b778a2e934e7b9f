package forwardauth

import (
	"net/http"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
)

// What Traefik makes of a request by its middleware replacePath: this path, with the client's
// query, and the client's path in a header, to which it adds rather than replacing.
const (
	pathPreflights     = "/preflights"
	headerReplacedPath = "X-Replaced-Path"
)

// answerPreflight answers in the place of the content server. Nothing is let through here.
func (h *handler) respondToPreflight(w http.ResponseWriter, r *http.Request) {
	requestID := httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...)
	w.Header().Set(httpapi.HeaderRequestID, requestID)
	lines := r.Header[headerReplacedPath]
	if len(lines) != 1 || lines[0] == "" {
		incomplete(headerReplacedPath).Denial().Write(w)
		return
	}
	request := authorizer.Request{
		Request: httpapi.NewRequest(r.Header, r.Method, r.Host, lines[0], r.URL.RawQuery),
		Client:  h.client(clientaddr.Peer(r.RemoteAddr), r.Header),
		ID:      requestID,
	}
	request.TrustedProject, request.NeedsHost = r.PathValue(parameterProject), true
	result := h.integration.Decide(r.Context(), &request)
	if result.Allowed() {
		httpapi.NewProblem(http.StatusBadRequest, "preflight_expected", "Not a preflight", "Only preflights are answered here.").Denial().Write(w)
		return
	}
	httpapi.NewDenial(result.Decision, &request.Request, result.RetryAfter).Write(w)
}
