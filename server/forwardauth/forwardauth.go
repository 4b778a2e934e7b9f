// Package forwardauth is the door for proxies that ask with an HTTP subrequest. Each proxy
// has a dialect, which says where it puts the request in question, and nothing else is read:
//
//	              method, target                host              client's address
//	/authz          X-Forwarded-Method, -Uri    X-Forwarded-Host  X-Forwarded-For or Forwarded
//	/authz/nginx    X-Original-Method, -URI     X-Original-Host   X-Real-IP
//	/authz/traefik  X-Forwarded-Method, -Uri    X-Forwarded-Host  X-Forwarded-For
//	/authz/caddy    X-Forwarded-Method, -Uri    Host              X-Forwarded-For
//	/authz/haproxy  X-HAProxy-Method, -Uri      X-HAProxy-Host    X-HAProxy-Src
//
// /authz is for any other proxy that can send these headers. The proxy must set them itself,
// replacing what the client sent, and must drop what the client sent under the name of a
// context header. Addresses are believed of trusted proxies only.
//
// The answer is 200 with the context headers, or the denial as the client is to see it. To a
// proxy 2xx means that a request may pass; so a preflight, which is answered 204 and does
// not, is answered 403, with 204 in X-Keyward-Status.
//
// nginx understands 2xx, 401 and 403 only, and drops the body: denials are answered 401 or
// 403, with the status to restore in X-Keyward-Status, the code in X-Keyward-Code, and the
// body in X-Keyward-Problem. Only 503 stays what it is, so that nginx asks another validation
// server, if it has one.
//
// nginx cannot remove headers by prefix either, so that requests in which a client sends a
// header X-Keyward-… are refused with 400.
//
// The parameter project of the URL, which the proxy's own configuration fixes, names the
// trusted project; any other parameter is refused. Caddy adds the client's query to a path
// that has none, so there the project is in the path: /authz/caddy/projects/marketing.
//
// Traefik cannot restore a status. It sends preflights, instead of asking about them, to
// /authz/traefik/preflights, where they are answered as clients are to see it: method, Host
// and query are the client's, and its path is in X-Replaced-Path, once. A trusted project is
// named in the path there, too.
package forwardauth

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/keyward-dev/keyward/server/clientaddr"
	"github.com/keyward-dev/keyward/server/gate"
	"github.com/keyward-dev/keyward/server/httpwire"
)

const (
	headerStatus  = "X-Keyward-Status"
	headerCode    = "X-Keyward-Code"
	headerProblem = "X-Keyward-Problem"

	codeReserved = "header_reserved"
)

// Register adds all dialects to a mux.
func Register(mux *http.ServeMux, g *gate.Gate, clients *clientaddr.Resolver) {
	for _, d := range dialects {
		h := &handler{dialect: d, door: g.Door(d.door), clients: clients}
		mux.Handle(d.path, h)
		if d.projectInPath {
			mux.Handle(d.path+pathProject, h)
		}
		if d.preflights {
			mux.HandleFunc(d.path+pathPreflights, h.answerPreflight)
			mux.HandleFunc(d.path+pathPreflights+pathProject, h.answerPreflight)
		}
	}
}

type handler struct {
	dialect

	door    *gate.Door
	clients *clientaddr.Resolver
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := httpwire.RequestID(r.Header[httpwire.HeaderRequestID]...)
	w.Header().Set(httpwire.HeaderRequestID, requestID)
	asked, wrong := h.read(r, h.clients)
	if wrong != "" {
		h.refuse(w, incomplete(wrong))
		return
	}
	if h.cannotRemove && httpwire.SendsReserved(r.Header) {
		h.refuse(w, httpwire.NewProblem(http.StatusBadRequest, codeReserved, "Reserved header", "Headers whose names begin with X-Keyward- are not for clients to send."))
		return
	}
	project, wrong := h.trustedProject(r)
	if wrong != "" {
		h.refuse(w, httpwire.InvalidParameter(wrong))
		return
	}
	path, rawQuery := httpwire.SplitTarget(asked.uri)
	request := gate.Request{Request: httpwire.NewRequest(r.Header, asked.method, asked.host, path, rawQuery), Client: asked.client, ID: requestID}
	request.TrustedProject = project

	result := h.door.Decide(r.Context(), &request)
	if !result.Allowed() {
		denial := httpwire.NewDenial(result.Decision, &request.Request, result.RetryAfter).With(httpwire.RateLimit(result.Rates)...)
		h.deny(w, denial, result.Code.String())
		return
	}
	for _, header := range httpwire.ContextHeaders(result.Decision) {
		w.Header()[header.Name] = []string{header.Value}
	}
	for _, header := range append(httpwire.CORS(result.Decision, &request.Request), httpwire.RateLimit(result.Rates)...) { // for the proxy to add to the answer
		w.Header()[header.Name] = []string{header.Value}
	}
	w.Header().Set(httpwire.HeaderVary, httpwire.Vary(&request.Request))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (h *handler) refuse(w http.ResponseWriter, problem httpwire.Problem) {
	h.deny(w, problem.Denial(), problem.Code)
}

// deny answers a denial as the client is to see it, or with a status that the proxy passes
// on. A preflight is never answered as such: with its status the proxy would take it for
// allowed, and let it through.
func (h *handler) deny(w http.ResponseWriter, denial httpwire.Denial, code string) {
	if h.narrow || denial.Status < http.StatusMultipleChoices {
		w.Header().Set(headerStatus, strconv.Itoa(denial.Status))
		w.Header().Set(headerCode, code)
		if h.narrow && len(denial.Body) > 0 {
			w.Header().Set(headerProblem, string(bytes.TrimSpace(denial.Body)))
		}
		if denial.Status != http.StatusUnauthorized && denial.Status != http.StatusServiceUnavailable {
			denial.Status = http.StatusForbidden
		}
	}
	denial.Write(w)
}
