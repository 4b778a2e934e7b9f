package forwardauth

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
	"github.com/keyward-dev/keyward/server/tracing"
)

// FastPath responds to the requests that proxies send all the time, as the handlers do, for servers that need no
// net/http for that. It implements http1.FastPath.
type FastPath struct {
	handlers map[string]*handler // by path
	names    *httpapi.Names
}

// newFastPath returns a FastPath for the handlers.
func newFastPath(handlers map[string]*handler) *FastPath {
	names := append([]string{httpapi.HeaderRequestID, clientaddr.HeaderXForwardedFor, clientaddr.HeaderForwarded}, httpapi.Decisive...)
	for _, h := range handlers {
		names = append(names, h.integration.Keys().Headers()...)
		if h.integration.Traced() {
			names = append(names, tracing.HeaderParent, tracing.HeaderState)
		}
		for _, name := range []string{h.method, h.host, h.uri, h.address} {
			if name != "" && name != clientaddr.HeaderXForwardedFor {
				names = append(names, name)
			}
		}
	}
	return &FastPath{handlers: handlers, names: httpapi.NewNames(names...)}
}

// Reads returns the name of a header in its canonical form, or "" if the header is not needed.
func (p *FastPath) Reads(name string) string {
	if canonical := p.names.Find(name); canonical != "" {
		return canonical
	}
	if httpapi.IsReserved(name) {
		return http.CanonicalHeaderKey(name)
	}
	return ""
}

var requestContexts = sync.Pool{New: func() any { return &requestContext{} }}

// Respond responds to a GET, or returns false if the handlers have to. It reads a trusted project if the name needs no
// decoding.
func (p *FastPath) Respond(q *httpapi.FastRequest, response *httpapi.Response) bool {
	h, project := p.handlers[q.Path], ""
	if h == nil {
		path, name, ok := strings.Cut(q.Path, "/projects/")
		if h = p.handlers[path]; !ok || h == nil || !h.projectInPath || !isSimple(name) {
			return false
		}
		project = name
	}
	if q.RawQuery != "" {
		if name, ok := strings.CutPrefix(q.RawQuery, parameterProject+"="); !ok || !isSimple(name) {
			return false
		}
	}
	e, _ := requestContexts.Get().(*requestContext)
	e.FastRequest, e.projectPath = *q, project
	h.respond(context.Background(), e, response)
	*e = requestContext{}
	requestContexts.Put(e)
	return true
}

// isSimple reports whether a name means the same encoded and decoded.
func isSimple(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != ""
}
