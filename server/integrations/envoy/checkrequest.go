package envoy

import (
	"net/http"
	"sync"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// checkRequest is the part of a check that a decision depends on, and the reply in progress. It is pooled, so nobody
// may keep it.
type checkRequest struct {
	method, host, target string
	peer                 string // the address that has connected to Envoy
	project              string // the one that the route names

	httpapi.Lines // the relevant ones, or all

	keys *credential.Locations // says which are relevant

	request authorizer.Request
	reply   reply
}

var checkRequestPool = sync.Pool{New: func() any { return &checkRequest{Lines: httpapi.Lines{Header: http.Header{}}} }}

func newCheckRequest() *checkRequest {
	q, _ := checkRequestPool.Get().(*checkRequest)
	return q
}

// release clears everything but keeps the allocated memory.
func (q *checkRequest) release() {
	q.reset()
	checkRequestPool.Put(q)
}

func (q *checkRequest) reset() {
	q.Reset()
	clear(q.reply.set)
	clear(q.reply.remove)
	clear(q.reply.added)
	*q = checkRequest{Lines: q.Lines, keys: q.keys, reply: reply{set: q.reply.set[:0], remove: q.reply.remove[:0], added: q.reply.added[:0]}}
}

// read reads a message that parse has left to protobuf.
func (q *checkRequest) read(check *authv3.CheckRequest) {
	q.reset()
	attributes := check.GetAttributes().GetRequest().GetHttp()
	q.method, q.host, q.target = attributes.GetMethod(), attributes.GetHost(), attributes.GetPath()
	q.peer = check.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress()
	q.project = trustedProject(check.GetAttributes())
	q.readHeader(attributes)
}

// readHeader reads the headers. If Envoy is configured with encode_raw_headers, they are a list with duplicates.
// Otherwise Envoy has joined duplicates with commas.
func (q *checkRequest) readHeader(attributes *authv3.AttributeContext_HttpRequest) {
	for name, value := range attributes.GetHeaders() {
		q.Header.Add(name, value)
	}
	if len(q.Header) > 0 {
		return
	}
	for _, h := range attributes.GetHeaderMap().GetHeaders() {
		value := h.GetValue()
		if raw := h.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		q.Header.Add(h.GetKey(), value)
	}
}
