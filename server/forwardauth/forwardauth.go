// Package forwardauth is the door for proxies that ask with an HTTP subrequest. It speaks
// two dialects:
//
//   - /authz, for Traefik ForwardAuth, Caddy forward_auth and HAProxy: the original request
//     is in X-Forwarded-Method, -Host and -Uri. The answer is 200 with the context headers,
//     or the denial as the client is to see it.
//   - /authz/nginx, for nginx auth_request, which understands 2xx, 401 and 403 only: the
//     original request is in X-Original-Method, -Host and -URI. Denials other than 401 are
//     answered 403, with the status to restore in X-Keyward-Status and the code in
//     X-Keyward-Code.
//
// nginx drops the body of an answer to auth_request. It gets it again, with the status, from
// /authz/nginx/denials/ and the code, where nothing is decided.
//
// To a proxy 2xx means that a request may pass. So a preflight, which is answered 204 and
// does not, is answered 403 in both, with 204 in X-Keyward-Status.
//
// The parameter project of the URL, which the proxy's own configuration fixes, names the
// trusted project. The proxy must set the headers above itself, replacing what the client
// sent, and must drop what the client sent under the name of a context header. So it is
// with the client's address, which is believed of trusted proxies only: /authz takes it
// from the list in X-Forwarded-For or Forwarded, /authz/nginx from X-Real-IP.
package forwardauth

import (
	"net/http"
	"net/netip"
	"strconv"

	"github.com/keyward-dev/keyward/server/clientaddr"
	"github.com/keyward-dev/keyward/server/gate"
	"github.com/keyward-dev/keyward/server/httpwire"
)

const (
	doorName      = "forwardauth"
	doorNameNginx = "forwardauth_nginx"

	headerStatus = "X-Keyward-Status"
	headerCode   = "X-Keyward-Code"
)

// original names the headers that describe the request in question.
type original struct {
	method, host, uri string
	// client is where the proxy puts the one address of the client; "" if it adds it to a
	// list instead.
	client string
}

var (
	forwarded = original{method: "X-Forwarded-Method", host: "X-Forwarded-Host", uri: "X-Forwarded-Uri"}
	nginx     = original{method: "X-Original-Method", host: "X-Original-Host", uri: "X-Original-Uri", client: "X-Real-Ip"}
)

// Register adds both dialects to a mux.
func Register(mux *http.ServeMux, g *gate.Gate, clients *clientaddr.Resolver) {
	mux.Handle("/authz", &handler{door: g.Door(doorName), clients: clients, original: forwarded, deny: denyPlain})
	mux.Handle("/authz/nginx", &handler{door: g.Door(doorNameNginx), clients: clients, original: nginx, deny: denyNginx})
	mux.HandleFunc("GET /authz/nginx/denials/{code}", tellDenial)
}

type handler struct {
	door     *gate.Door
	clients  *clientaddr.Resolver
	original original
	deny     func(http.ResponseWriter, httpwire.Denial, string)
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := httpwire.RequestID(r.Header[httpwire.HeaderRequestID]...)
	w.Header().Set(httpwire.HeaderRequestID, requestID)
	var missing string
	take := func(name string) string {
		if lines := r.Header[name]; len(lines) == 1 && lines[0] != "" {
			return lines[0]
		}
		missing = name
		return ""
	}
	method, host, uri := take(h.original.method), take(h.original.host), take(h.original.uri)
	if missing != "" {
		problem := incomplete(missing)
		h.deny(w, problem.Denial(), problem.Code)
		return
	}
	path, rawQuery := httpwire.SplitTarget(uri)
	request := gate.Request{Request: httpwire.NewRequest(r.Header, method, host, path, rawQuery), Client: h.clientOf(r), ID: requestID}
	request.TrustedProject = r.URL.Query().Get("project")

	result := h.door.Decide(r.Context(), &request)
	if !result.Allowed() {
		h.deny(w, httpwire.NewDenial(result.Decision, &request.Request, result.RetryAfter), result.Code.String())
		return
	}
	for _, header := range httpwire.ContextHeaders(result.Decision) {
		w.Header()[header.Name] = []string{header.Value}
	}
	for _, header := range httpwire.CORS(result.Decision, &request.Request) { // for the proxy to add to the answer
		w.Header()[header.Name] = []string{header.Value}
	}
	w.Header().Set(httpwire.HeaderVary, httpwire.Vary(&request.Request))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// clientOf is where the request in question comes from, by the word of a trusted proxy. The
// proxy's own address is nobody's: to count failures by it would hold all its clients to
// account for each of them.
func (h *handler) clientOf(r *http.Request) netip.Addr {
	peer := clientaddr.Peer(r.RemoteAddr)
	if h.original.client != "" {
		return h.clients.ToldOne(peer, r.Header[h.original.client])
	}
	return h.clients.Told(peer, r.Header)
}

// denyPlain answers a denial as the client is to see it. A preflight is not: with its status
// the proxy would take it for allowed, and let it through.
func denyPlain(w http.ResponseWriter, denial httpwire.Denial, code string) {
	if denial.Status < http.StatusMultipleChoices {
		denyNginx(w, denial, code)
		return
	}
	denial.Write(w)
}

// denyNginx keeps to the statuses that auth_request passes on.
func denyNginx(w http.ResponseWriter, denial httpwire.Denial, code string) {
	w.Header().Set(headerStatus, strconv.Itoa(denial.Status))
	w.Header().Set(headerCode, code)
	if denial.Status != http.StatusUnauthorized {
		denial.Status = http.StatusForbidden
	}
	denial.Write(w)
}
