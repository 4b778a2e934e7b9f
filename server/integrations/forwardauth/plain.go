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
type Plain struct {
	handlers map[string]*handler // by path
	names    *httpapi.Names
}

func newPlain() *Plain {
	names := append([]string{httpapi.HeaderRequestID, clientaddr.HeaderXForwardedFor, clientaddr.HeaderForwarded}, httpapi.Decisive...)
	for _, d := range dialects {
		for _, name := range []string{d.method, d.host, d.uri, d.address} {
			if name != "" && name != clientaddr.HeaderXForwardedFor {
				names = append(names, name)
			}
		}
	}
	return &Plain{handlers: map[string]*handler{}, names: httpapi.NewNames(names...)}
}

// Reads returns the name of a header in its canonical form, or "" of one that is not read.
func (p *Plain) Reads(name string) string {
	if canonical := p.names.Find(name); canonical != "" {
		return canonical
	}
	if httpapi.IsReserved(name) {
		return http.CanonicalHeaderKey(name)
	}
	return ""
}

var exchanges = sync.Pool{New: func() any { return &exchange{} }}

// Answer answers a GET, or returns false where that is for the handlers. A trusted project is
// read where it is plain, too.
func (p *Plain) Answer(q *httpapi.Question, answer *httpapi.Answer) bool {
	h, project := p.handlers[q.Path], ""
	if h == nil {
		path, name, ok := strings.Cut(q.Path, "/projects/")
		if h = p.handlers[path]; !ok || h == nil || !h.projectInPath || !isPlain(name) {
			return false
		}
		project = name
	}
	if q.RawQuery != "" {
		if name, ok := strings.CutPrefix(q.RawQuery, parameterProject+"="); !ok || !isPlain(name) {
			return false
		}
	}
	e, _ := exchanges.Get().(*exchange)
	e.Question, e.projectPath = *q, project
	h.answer(context.Background(), e, answer)
	*e = exchange{}
	exchanges.Put(e)
	return true
}

// isPlain tells a name that means the same encoded or not.
func isPlain(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != ""
}
