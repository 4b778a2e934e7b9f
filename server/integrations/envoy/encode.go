package envoy

// This file is tuned by hand. It writes a CheckResponse directly into the buffer that is sent. protobuf would make an
// object of each header first, walk them to learn how long they are, and walk them again. FuzzEncode compares the
// result with what protobuf reads.

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	responseStatus   = 1<<3 | typeBytes
	responseDenied   = 2<<3 | typeBytes
	responseOK       = 3<<3 | typeBytes
	responseMetadata = 4<<3 | typeBytes

	statusCode    = 1<<3 | typeVarint
	statusMessage = 2<<3 | typeBytes

	deniedStatus  = 1<<3 | typeBytes
	deniedHeaders = 2<<3 | typeBytes
	deniedBody    = 3<<3 | typeBytes

	httpStatusCode = 1<<3 | typeVarint

	okHeaders         = 2<<3 | typeBytes
	okRemovals        = 5<<3 | typeBytes
	okResponseHeaders = 6<<3 | typeBytes

	optionHeader = 1<<3 | typeBytes
	optionAction = 3<<3 | typeVarint

	structFields = 1<<3 | typeBytes
	valueString  = 3<<3 | typeBytes
)

// encode returns the reply as a CheckResponse, in a buffer that belongs to the caller.
func encode(r *reply) *checkResponse {
	a := newCheckResponse()
	status := a.begin(responseStatus)
	if r.status != codes.OK {
		a.number(statusCode, uint64(r.status))
	}
	if r.message != "" {
		a.text(statusMessage, r.message)
	}
	a.end(status)
	if r.denial != 0 {
		a.denied(r)
	} else {
		a.ok(r)
	}
	metadata := a.begin(responseMetadata)
	for i := range r.metadata {
		if r.metadata[i].Name != "" {
			a.metadata(&r.metadata[i])
		}
	}
	a.end(metadata)
	return a
}

func (a *checkResponse) denied(r *reply) {
	response := a.begin(responseDenied)
	status := a.begin(deniedStatus)
	a.number(httpStatusCode, uint64(r.denial))
	a.end(status)
	for i := range r.set {
		a.header(deniedHeaders, &r.set[i], corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	}
	if len(r.body) > 0 {
		a.number(deniedBody, uint64(len(r.body)))
		*a = append(*a, r.body...)
	}
	a.end(response)
}

func (a *checkResponse) ok(r *reply) {
	response := a.begin(responseOK)
	for i := range r.set {
		a.header(okHeaders, &r.set[i], corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	}
	for _, name := range r.remove {
		a.text(okRemovals, name)
	}
	for i := range r.added {
		a.header(okResponseHeaders, &r.added[i].Header, r.added[i].action)
	}
	if r.own {
		*a = append(*a, encodedPrivately...)
	}
	a.end(response)
}

// encodedPrivately are the encoded headers that nearly every response adds.
var encodedPrivately = func() (a checkResponse) {
	for i := range privately {
		a.header(okResponseHeaders, &privately[i].Header, privately[i].action)
	}
	return a
}()

// header appends a HeaderValueOption.
func (a *checkResponse) header(tag byte, h *httpapi.Header, action corev3.HeaderValueOption_HeaderAppendAction) {
	option := a.begin(tag)
	header := a.begin(optionHeader)
	if h.Name != "" {
		a.text(entryKey, h.Name)
	}
	if h.Value != "" {
		a.text(entryValue, h.Value)
	}
	a.end(header)
	if action != 0 {
		a.number(optionAction, uint64(action))
	}
	a.end(option)
}

// metadata appends an entry of a Struct's map.
func (a *checkResponse) metadata(h *httpapi.Header) {
	field := a.begin(structFields)
	a.text(entryKey, h.Name)
	value := a.begin(entryValue)
	a.text(valueString, h.Value) // also "": a Value must have a kind
	a.end(value)
	a.end(field)
}

func (a *checkResponse) text(tag byte, text string) {
	a.number(tag, uint64(len(text)))
	*a = append(*a, text...)
}

// number appends a number, or the length of what comes next.
func (a *checkResponse) number(tag byte, n uint64) {
	*a = protowire.AppendVarint(append(*a, tag), n)
}

// begin appends the tag of a message, and leaves one byte for its length, which is enough for most messages. end makes
// room for more.
func (a *checkResponse) begin(tag byte) (at int) {
	*a = append(*a, tag, 0)
	return len(*a)
}

func (a *checkResponse) end(at int) {
	size := len(*a) - at
	if size < 0x80 {
		(*a)[at-1] = byte(size)
		return
	}
	more := protowire.SizeVarint(uint64(size)) - 1
	*a = append(*a, make([]byte, more)...)
	copy((*a)[at+more:], (*a)[at:at+size])
	protowire.AppendVarint((*a)[:at-1], uint64(size))
}
