package extauthz

import (
	"net/http"
	"sync"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/keyward-dev/keyward/server/gate"
)

// question is what a check asks, as far as an answer depends on it, and the answer in the
// making. It is used again, so nobody must keep it.
type question struct {
	method, host, target string
	peer                 string // the address of who has connected to Envoy
	project              string // that the route names

	// header has those lines that matter, or all. lines is room for their values.
	header http.Header
	lines  [usualLines]string
	used   int

	request gate.Request
	reply   reply
}

// usualLines is how many lines of the headers that matter there are seldom more than.
const usualLines = 8

// String tells nothing: a question holds a key.
func (*question) String() string { return "a check" }

// GoString tells nothing.
func (q *question) GoString() string { return q.String() }

var questionPool = sync.Pool{New: func() any { return &question{header: http.Header{}} }}

func newQuestion() *question {
	q, _ := questionPool.Get().(*question)
	return q
}

// release forgets everything but the room that it took.
func (q *question) release() {
	q.reset()
	questionPool.Put(q)
}

func (q *question) reset() {
	clear(q.header)
	clear(q.reply.set)
	clear(q.reply.remove)
	clear(q.reply.added)
	*q = question{header: q.header, reply: reply{set: q.reply.set[:0], remove: q.reply.remove[:0], added: q.reply.added[:0]}}
}

// add is http.Header.Add for a name that is canonical.
func (q *question) add(name, value string) {
	values, more := q.header[name]
	if more || q.used == len(q.lines) {
		q.header[name] = append(values, value)
		return
	}
	q.lines[q.used] = value
	q.header[name] = q.lines[q.used : q.used+1 : q.used+1]
	q.used++
}

// read takes over a message that parse has left.
func (q *question) read(check *authv3.CheckRequest) {
	q.reset()
	attributes := check.GetAttributes().GetRequest().GetHttp()
	q.method, q.host, q.target = attributes.GetMethod(), attributes.GetHost(), attributes.GetPath()
	q.peer = check.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress()
	q.project = check.GetAttributes().GetContextExtensions()[ProjectExtension]
	q.readHeader(attributes)
}

// readHeader reads the headers. Where Envoy is set to encode_raw_headers they come as a list
// with duplicates; otherwise it has joined duplicates with commas.
func (q *question) readHeader(attributes *authv3.AttributeContext_HttpRequest) {
	for name, value := range attributes.GetHeaders() {
		q.header.Add(name, value)
	}
	if len(q.header) > 0 {
		return
	}
	for _, h := range attributes.GetHeaderMap().GetHeaders() {
		value := h.GetValue()
		if raw := h.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		q.header.Add(h.GetKey(), value)
	}
}
