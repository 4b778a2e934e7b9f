package forwardauth

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/tracing"
)

// FastPath responds to the requests that proxies send all the time, as the handlers do, for servers that need no
// net/http for that. It implements http1.FastPath.
type FastPath struct {
	handlers map[string]*handler // by path
	prefixed []*handler
	names    *httpapi.Names
}

// newFastPath returns a FastPath for the handlers.
func newFastPath(handlers map[string]*handler) *FastPath {
	names := append([]string{httpapi.HeaderRequestID, clientaddr.HeaderXForwardedFor, clientaddr.HeaderForwarded}, httpapi.Decisive...)
	var prefixed []*handler
	for _, h := range handlers {
		names = append(names, h.integration.Keys().Headers()...)
		if h.prefixed {
			prefixed = append(prefixed, h)
		}
		if h.integration.Traced() {
			names = append(names, tracing.HeaderParent, tracing.HeaderState)
		}
		for _, name := range h.headers() {
			if name != clientaddr.HeaderXForwardedFor {
				names = append(names, name)
			}
		}
	}
	return &FastPath{handlers: handlers, prefixed: prefixed, names: httpapi.NewNames(names...)}
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
	h, project, target := p.handlers[q.Path], "", ""
	if h == nil || h.prefixed {
		if h, project, target = p.find(q); h == nil {
			return false
		}
	}
	if q.RawQuery != "" && !h.prefixed {
		if name, ok := strings.CutPrefix(q.RawQuery, parameterProject+"="); !ok || !isSimple(name) {
			return false
		}
	}
	e, _ := requestContexts.Get().(*requestContext)
	e.FastRequest, e.projectPath, e.method, e.target = *q, project, http.MethodGet, target
	h.respond(context.Background(), e, response)
	*e = requestContext{}
	requestContexts.Put(e)
	return true
}

// find returns the handler for a path that is more than a profile's, and what else it says.
func (p *FastPath) find(q *httpapi.FastRequest) (h *handler, project, target string) {
	target = q.Path
	if q.RawQuery != "" {
		target += "?" + q.RawQuery
	}
	if h, project, target = p.split(target); h != nil {
		if !isPlain(target) {
			h = nil
		}
		return h, project, target
	}
	if named, ok := strings.CutPrefix(q.Path, pathProjects); ok {
		project, profile, _ := strings.Cut(named, "/")
		if h = p.handlers[pathAuthz+"/"+profile]; h != nil && h.projectFirst && !h.prefixed && isSimple(project) {
			return h, project, ""
		}
		return nil, "", ""
	}
	path, project, ok := strings.Cut(q.Path, "/projects/")
	if h = p.handlers[path]; ok && h != nil && h.projectInPath && isSimple(project) {
		return h, project, ""
	}
	return nil, "", ""
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
