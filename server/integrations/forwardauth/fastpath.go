package forwardauth

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
)

// Plain answers the questions that proxies put all day, as the handlers do, for servers that
// can spare them net/http. It implements framing.Answerer.
type FastPath struct {
	handlers map[string]*handler // by path
	names    *httpapi.Names
}

func newFastPath() *FastPath {
	names := append([]string{httpapi.HeaderRequestID, clientaddr.HeaderXForwardedFor, clientaddr.HeaderForwarded}, httpapi.Decisive...)
	for _, d := range proxyProfiles {
		for _, name := range []string{d.method, d.host, d.uri, d.address} {
			if name != "" && name != clientaddr.HeaderXForwardedFor {
				names = append(names, name)
			}
		}
	}
	return &FastPath{handlers: map[string]*handler{}, names: httpapi.NewNames(names...)}
}

// Reads returns the name of a header in its canonical form, or "" of one that is not read.
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

// Answer answers a GET, or returns false where that is for the handlers. A trusted project is
// read where it is plain, too.
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

// isPlain tells a name that means the same encoded or not.
func isSimple(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != ""
}
