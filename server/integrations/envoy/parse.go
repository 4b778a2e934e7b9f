package envoy

// This file is tuned by hand. protobuf makes some sixty objects and two maps of a check, although a decision needs seven
// strings of it, and that alone costs as much as everything that gRPC does around it. So this parser cuts these strings
// out of the message, and examines all else only to see that it is well-formed.
//
// It supports the checks that Envoy sends, and leaves all others to protobuf: fields that it does not know, a part that
// occurs twice and would have to be merged, and malformed messages. Then parse returns false, and protobuf reads the
// message or refuses it. So a message has one meaning, which FuzzParse verifies.

import (
	"net/http"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/tracing"
)

// The tags of fields: the number, and the type in which it is encoded.
const (
	typeVarint = 0
	typeBytes  = 2

	checkAttributes = 1<<3 | typeBytes

	attributesSource            = 1<<3 | typeBytes
	attributesDestination       = 2<<3 | typeBytes
	attributesRequest           = 4<<3 | typeBytes
	attributesContextExtensions = 10<<3 | typeBytes
	attributesMetadata          = 11<<3 | typeBytes
	attributesTLSSession        = 12<<3 | typeBytes
	attributesRouteMetadata     = 13<<3 | typeBytes

	tlsSessionSNI = 1<<3 | typeBytes

	peerAddress     = 1<<3 | typeBytes
	peerService     = 2<<3 | typeBytes
	peerPrincipal   = 4<<3 | typeBytes
	peerCertificate = 5<<3 | typeBytes

	addressSocket = 1<<3 | typeBytes

	socketProtocol     = 1<<3 | typeVarint
	socketAddress      = 2<<3 | typeBytes
	socketPort         = 3<<3 | typeVarint
	socketResolverName = 5<<3 | typeBytes
	socketIPv4Compat   = 6<<3 | typeVarint

	requestTime = 1<<3 | typeBytes
	requestHTTP = 2<<3 | typeBytes

	timeSeconds = 1<<3 | typeVarint
	timeNanos   = 2<<3 | typeVarint

	httpID        = 1<<3 | typeBytes
	httpMethod    = 2<<3 | typeBytes
	httpHeaders   = 3<<3 | typeBytes
	httpPath      = 4<<3 | typeBytes
	httpHost      = 5<<3 | typeBytes
	httpScheme    = 6<<3 | typeBytes
	httpQuery     = 7<<3 | typeBytes
	httpFragment  = 8<<3 | typeBytes
	httpSize      = 9<<3 | typeVarint
	httpProtocol  = 10<<3 | typeBytes
	httpBody      = 11<<3 | typeBytes
	httpRawBody   = 12<<3 | typeBytes
	httpHeaderMap = 13<<3 | typeBytes

	headerMapHeaders = 1<<3 | typeBytes

	// fields of a header in a list, and of an entry of a map
	entryKey   = 1<<3 | typeBytes
	entryValue = 2<<3 | typeBytes
	entryRaw   = 3<<3 | typeBytes
)

// decisive are the headers that decisions depend on, and those of the trace.
var decisive = httpapi.NewNames(append([]string{httpapi.HeaderRequestID, clientaddr.HeaderXForwardedFor,
	clientaddr.HeaderForwarded, tracing.HeaderParent, tracing.HeaderState, credential.HeaderWebSocketProtocol}, httpapi.Decisive...)...)

// parse reads a CheckRequest. It returns false if protobuf has to read the message; then part of it has been read.
func (q *checkRequest) parse(message string) bool {
	seen := false
	for message != "" {
		tag, attributes, rest := next(message)
		if tag != checkAttributes || seen {
			return false
		}
		if !q.parseAttributes(attributes) {
			return false
		}
		seen, message = true, rest
	}
	return true
}

func (q *checkRequest) parseAttributes(message string) bool {
	var source, request bool
	for message != "" {
		tag, value, rest := next(message)
		ok := false
		switch tag {
		case attributesSource:
			ok = !source && parsePeer(value, &q.peer)
			source = true
		case attributesDestination:
			var destination string
			ok = parsePeer(value, &destination)
		case attributesRequest:
			ok = !request && q.parseRequest(value)
			request = true
		case attributesContextExtensions:
			var e entry
			ok = e.parse(value, false)
			if e.key == ProjectExtension {
				q.project = e.value
			}
		case attributesMetadata, attributesRouteMetadata:
			ok = value == "" // as it is if none is configured
		case attributesTLSSession:
			ok = parseTexts(value, 1<<(tlsSessionSNI>>3))
		}
		if !ok {
			return false
		}
		message = rest
	}
	return true
}

func parsePeer(message string, address *string) bool {
	seen := false
	for message != "" {
		tag, value, rest := next(message)
		ok := false
		switch tag {
		case peerAddress:
			ok = !seen && parseAddress(value, address)
			seen = true
		case peerService, peerPrincipal, peerCertificate:
			ok = utf8.ValidString(value)
		}
		if !ok {
			return false
		}
		message = rest
	}
	return true
}

// parseAddress reads a socket address. It leaves pipes and other kinds to protobuf.
func parseAddress(message string, address *string) bool {
	if message == "" {
		return true
	}
	tag, socket, rest := next(message)
	if tag != addressSocket || rest != "" {
		return false
	}
	for socket != "" {
		tag, value, rest := next(socket)
		ok := false
		switch tag {
		case socketAddress:
			ok = utf8.ValidString(value)
			*address = value
		case socketResolverName:
			ok = utf8.ValidString(value)
		case socketProtocol, socketPort, socketIPv4Compat:
			ok = true
		}
		if !ok {
			return false
		}
		socket = rest
	}
	return true
}

func (q *checkRequest) parseRequest(message string) bool {
	seen := false
	for message != "" {
		tag, value, rest := next(message)
		ok := false
		switch tag {
		case requestTime:
			ok = parseNumbers(value, 1<<(timeSeconds>>3)|1<<(timeNanos>>3))
		case requestHTTP:
			ok = !seen && q.parseHTTP(value)
			seen = true
		}
		if !ok {
			return false
		}
		message = rest
	}
	return true
}

func (q *checkRequest) parseHTTP(message string) bool {
	var headers, list bool
	for message != "" {
		tag, value, rest := next(message)
		ok := false
		switch tag {
		case httpHeaders:
			ok = q.parseHeader(value)
			headers = true
		case httpHeaderMap:
			ok = !list && q.parseList(value)
			list = true
		case httpMethod:
			q.method, ok = value, utf8.ValidString(value)
		case httpPath:
			q.target, ok = value, utf8.ValidString(value)
		case httpHost:
			q.host, ok = value, utf8.ValidString(value)
		case httpID, httpScheme, httpQuery, httpFragment, httpProtocol, httpBody:
			ok = utf8.ValidString(value)
		case httpRawBody, httpSize:
			ok = true
		}
		if !ok {
			return false
		}
		message = rest
	}
	return !headers || !list
}

// parseHeader reads an entry of the map of headers.
func (q *checkRequest) parseHeader(message string) bool {
	var e entry
	if !e.parse(message, false) {
		return false
	}
	name, ok := q.relevantHeader(e.key)
	if name == "" {
		return ok
	}
	if _, twice := q.Header[name]; twice {
		return false
	}
	q.Add(name, e.value)
	return true
}

// parseList reads the list of headers that replaces the map with encode_raw_headers.
func (q *checkRequest) parseList(message string) bool {
	for message != "" {
		tag, value, rest := next(message)
		var e entry
		if tag != headerMapHeaders || !e.parse(value, true) {
			return false
		}
		name, ok := q.relevantHeader(e.key)
		if !ok {
			return false
		}
		if e.raw != "" {
			e.value = e.raw
		}
		if name != "" {
			q.Add(name, e.value)
		}
		message = rest
	}
	return true
}

// relevantHeader returns the name of a header in its canonical form, or "" if the header is not needed. Names that are
// not ASCII are left to protobuf.
func (q *checkRequest) relevantHeader(name string) (canonical string, ok bool) {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return "", false
		}
	}
	if canonical = decisive.Find(name); canonical != "" {
		return canonical, true
	}
	if httpapi.MayBeRemoved(name) || httpapi.IsKeyHeader(q.keys, name) {
		return http.CanonicalHeaderKey(name), true
	}
	return "", true
}

// entry is a header in a list, or an entry of a map, which has no raw value.
type entry struct{ key, value, raw string }

func (e *entry) parse(message string, mayBeRaw bool) bool {
	for message != "" {
		tag, value, rest := next(message)
		ok := false
		switch tag {
		case entryKey:
			e.key, ok = value, utf8.ValidString(value)
		case entryValue:
			e.value, ok = value, utf8.ValidString(value)
		case entryRaw:
			e.raw, ok = value, mayBeRaw
		}
		if !ok {
			return false
		}
		message = rest
	}
	return true
}

// parseTexts reports whether a message has nothing but strings in these fields, one bit for each field.
func parseTexts(message string, fields uint) bool {
	for message != "" {
		tag, value, rest := next(message)
		if tag&7 != typeBytes || fields>>(tag>>3)&1 == 0 || !utf8.ValidString(value) {
			return false
		}
		message = rest
	}
	return true
}

// parseNumbers reports whether a message has nothing but numbers in these fields, one bit for each field.
func parseNumbers(message string, fields uint) bool {
	for message != "" {
		tag, _, rest := next(message)
		if tag&7 != typeVarint || fields>>(tag>>3)&1 == 0 {
			return false
		}
		message = rest
	}
	return true
}

// next cuts the first field off a message that is not empty. The tag is 0, which no field has, if the field is malformed,
// is of another type than varint and bytes, or has a number above 15.
func next(message string) (tag byte, value, rest string) {
	tag, rest = message[0], message[1:]
	size, n := protowire.ConsumeVarint(unsafe.Slice(unsafe.StringData(rest), len(rest))) // which only reads
	switch {
	case tag >= 0x80 || n < 0:
		return 0, "", ""
	case tag&7 == typeVarint:
		return tag, "", rest[n:]
	case tag&7 != typeBytes || size > uint64(len(rest)-n):
		return 0, "", ""
	}
	return tag, rest[n : n+int(size)], rest[n+int(size):]
}
