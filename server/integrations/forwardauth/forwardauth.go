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
	"context"
	"net/http"
	"strconv"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
)

const (
	headerStatus  = "X-Keyward-Status"
	headerCode    = "X-Keyward-Code"
	headerProblem = "X-Keyward-Problem"

	codeReserved = "header_reserved"
)

// Register adds all dialects to a mux, and returns what answers their plain questions without.
func Register(mux *http.ServeMux, auth *authorizer.Authorizer, clients *clientaddr.Resolver) *FastPath {
	fastPath := newFastPath()
	for _, d := range proxyProfiles {
		h := &handler{proxyProfile: d, integration: auth.Integration(d.integration), clients: clients, addresses: d.addresses(clients)}
		fastPath.handlers[d.path] = h
		mux.Handle(d.path, h)
		if d.projectInPath {
			mux.Handle(d.path+pathProject, h)
		}
		if d.preflights {
			mux.HandleFunc(d.path+pathPreflights, h.respondToPreflight)
			mux.HandleFunc(d.path+pathPreflights+pathProject, h.respondToPreflight)
		}
	}
	return fastPath
}

type handler struct {
	proxyProfile

	integration *authorizer.Integration
	clients     *clientaddr.Resolver
	addresses   *clientaddr.Resolver // by the dialect's list
}

// exchange is a question with its answer.
type requestContext struct {
	httpapi.FastRequest

	forceQuery  bool   // there is a '?' with nothing behind it
	projectPath string // the project that the path names

	request authorizer.Request
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := requestContext{
		FastRequest: httpapi.FastRequest{Path: r.URL.Path, RawQuery: r.URL.RawQuery, Host: r.Host, Peer: clientaddr.Peer(r.RemoteAddr), Header: r.Header},
		forceQuery:  r.URL.ForceQuery, projectPath: r.PathValue(parameterProject),
	}
	var response httpapi.Response
	h.respond(r.Context(), &e, &response)
	response.Write(w)
}

// answer finds the answer, to whose headers it adds.
func (h *handler) respond(ctx context.Context, e *requestContext, response *httpapi.Response) {
	requestID := httpapi.RequestID(e.Header[httpapi.HeaderRequestID]...)
	response.Headers = append(response.Headers, httpapi.Header{Name: httpapi.HeaderRequestID, Value: requestID})
	asked, wrong := h.read(&e.FastRequest)
	if wrong != "" {
		h.refuse(response, incomplete(wrong))
		return
	}
	if h.cannotRemove && httpapi.SendsReserved(e.Header) {
		h.refuse(response, httpapi.NewProblem(http.StatusBadRequest, codeReserved, "Reserved header", "Headers whose names begin with X-Keyward- are not for clients to send."))
		return
	}
	project, wrong := h.trustedProject(e)
	if wrong != "" {
		h.refuse(response, httpapi.InvalidParameter(wrong))
		return
	}
	path, rawQuery := httpapi.SplitTarget(asked.uri)
	e.request = authorizer.Request{Request: httpapi.NewRequest(e.Header, asked.method, asked.host, path, rawQuery), Client: asked.client, ID: requestID}
	e.request.TrustedProject, e.request.NeedsHost = project, true

	result := h.integration.Decide(ctx, &e.request)
	if !result.Allowed() {
		denial := httpapi.NewDenial(result.Decision, &e.request.Request, result.RetryAfter).With(httpapi.RateLimit(result.Rates)...)
		h.deny(response, denial, result.Code.String())
		return
	}
	response.Status = http.StatusOK
	response.Headers = httpapi.AppendContextHeaders(response.Headers, result.Decision)
	response.Headers = append(response.Headers, httpapi.CORS(result.Decision, &e.request.Request)...) // for the proxy to add to the answer
	response.Headers = append(response.Headers, httpapi.RateLimit(result.Rates)...)
	response.Headers = httpapi.Caching(response.Headers, result.Decision)
	response.Headers = append(response.Headers, httpapi.Header{Name: httpapi.HeaderVary, Value: httpapi.Vary(&e.request.Request)}, noStore)
}

var noStore = httpapi.Header{Name: "Cache-Control", Value: "no-store"}

func (h *handler) refuse(response *httpapi.Response, problem httpapi.Problem) {
	h.deny(response, problem.Denial(), problem.Code)
}

// deny answers a denial as the client is to see it, or with a status that the proxy passes
// on. A preflight is never answered as such: with its status the proxy would take it for
// allowed, and let it through.
func (h *handler) deny(response *httpapi.Response, denial httpapi.Denial, code string) {
	if h.narrow || denial.Status < http.StatusMultipleChoices {
		response.Headers = append(response.Headers, httpapi.Header{Name: headerStatus, Value: strconv.Itoa(denial.Status)}, httpapi.Header{Name: headerCode, Value: code})
		if h.narrow && len(denial.Body) > 0 {
			response.Headers = append(response.Headers, httpapi.Header{Name: headerProblem, Value: string(bytes.TrimSpace(denial.Body))})
		}
		if denial.Status != http.StatusUnauthorized && denial.Status != http.StatusServiceUnavailable {
			denial.Status = http.StatusForbidden
		}
	}
	response.Status, response.Body = denial.Status, denial.Body
	response.Headers = append(response.Headers, denial.Headers...)
}
