package envoy

import (
	"net/http"
	"sync"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// question is what a check asks, as far as an answer depends on it, and the answer in the
// making. It is used again, so nobody must keep it.
type checkRequest struct {
	method, host, target string
	peer                 string // the address of who has connected to Envoy
	project              string // that the route names

	httpapi.Lines // those that matter, or all

	request authorizer.Request
	reply   reply
}

var checkRequestPool = sync.Pool{New: func() any { return &checkRequest{Lines: httpapi.Lines{Header: http.Header{}}} }}

func newCheckRequest() *checkRequest {
	q, _ := checkRequestPool.Get().(*checkRequest)
	return q
}

// release forgets everything but the room that it took.
func (q *checkRequest) release() {
	q.reset()
	checkRequestPool.Put(q)
}

func (q *checkRequest) reset() {
	q.Reset()
	clear(q.reply.set)
	clear(q.reply.remove)
	clear(q.reply.added)
	*q = checkRequest{Lines: q.Lines, reply: reply{set: q.reply.set[:0], remove: q.reply.remove[:0], added: q.reply.added[:0]}}
}

// read takes over a message that parse has left.
func (q *checkRequest) read(check *authv3.CheckRequest) {
	q.reset()
	attributes := check.GetAttributes().GetRequest().GetHttp()
	q.method, q.host, q.target = attributes.GetMethod(), attributes.GetHost(), attributes.GetPath()
	q.peer = check.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress()
	q.project = check.GetAttributes().GetContextExtensions()[ProjectExtension]
	q.readHeader(attributes)
}

// readHeader reads the headers. Where Envoy is set to encode_raw_headers they come as a list
// with duplicates; otherwise it has joined duplicates with commas.
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
