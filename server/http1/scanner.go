package http1

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// violation is why a message is refused. Servers on its way may understand it differently,
// which is all that a smuggled request needs.
type protocolError struct{ denial httpapi.Denial }

func malformed(detail string) *protocolError {
	return &protocolError{httpapi.NewProblem(statusMalformed, codeMalformed, titleMalformed, detail).Denial()}
}

var (
	errBareLF      = malformed("A line does not end in CR LF.")
	errFolded      = malformed("A header line is continued on the next one (obs-fold).")
	errRequestLine = malformed("The request line is not 'method target HTTP/1.1'.")
	errVersion     = malformed("The version is neither HTTP/1.1 nor HTTP/1.0.")
	errName        = malformed("A header has no name, or a space or another character in its name that does not belong there.")
	errControl     = malformed("A header has a control character in its value.")
	errHost        = malformed("The request needs one Host header, with the host of its target if that has one.")
	errLength      = malformed("Content-Length is not one number.")
	errCoding      = malformed("Transfer-Encoding is not 'chunked', once, in HTTP/1.1.")
	errLengths     = malformed("There are both Content-Length and Transfer-Encoding.")
	errChunk       = malformed("The body is not encoded in chunks as it should be.")

	errTooLarge = &protocolError{httpapi.NewProblem(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large", "Headers too large",
		"The headers of the request are larger than this server reads. Send fewer or shorter ones.").Denial()}

	// preface is how a connection begins that speaks HTTP/2 (RFC 9113, section 3.4).
	preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	crlf    = []byte("\r\n")
	space   = []byte(" ")
	colon   = []byte(":")
)

const (
	maxLengthDigits = 18
	maxChunkLine    = 4 << 10 // bytes, extensions included
	maxChunkDigits  = 16
)

type state uint8

const (
	inHead state = iota
	inBody
	inChunkSize
	inChunk
	afterChunk
	inTrailer
	notHTTP1 // HTTP/2, or what a connection was upgraded to
)

// scanner follows a stream of requests (RFC 9112). Heads, chunk sizes and trailers are let
// through when they are complete and right, bodies as they come. Of what is let through it
// changes nothing but bad escapes.
type scanner struct {
	maxHead int

	state     state
	left      int64 // of the body or chunk
	line      int   // where in what is pending the current line begins
	searched  int   // how far in what is pending there is no end of it
	firstLine bool  // the current line is not the first of its head
	head      head
	heads     int64 // that are complete, and for net/http
}

// head is what matters of a request's head.
type head struct {
	minor           byte
	authority, host string // the latter only where there is an authority to compare it with
	hosts, lengths  int
	length          int64
	codings         int
	chunked         bool
	upgrade, asked  bool // the headers Upgrade: websocket, and Connection: upgrade
}

// scan returns how much of what is pending may be read by net/http. What it holds back has
// to be there again the next time, with more behind it.
func (s *scanner) scan(pending []byte) (through int, _ *protocolError) {
	if s.heads == 0 && s.state == inHead && !s.firstLine {
		switch s.prefaced(pending) {
		case yes:
			s.state = notHTTP1
		case undecided:
			return 0, nil
		}
	}
	for through < len(pending) {
		rest := pending[through:]
		switch s.state {
		case notHTTP1:
			return len(pending), nil
		case inBody, inChunk:
			n := min(int64(len(rest)), s.left)
			s.left -= n
			through += int(n)
			if s.left == 0 {
				s.state = map[state]state{inBody: inHead, inChunk: afterChunk}[s.state]
			}
		default:
			n, protocolError := s.scanLines(rest)
			if protocolError != nil || n == 0 {
				return through, protocolError
			}
			through += n
		}
	}
	return through, nil
}

type responseProgress uint8

const (
	no responseProgress = iota
	yes
	undecided
)

// prefaced reports whether a connection whose first bytes these are speaks HTTP/2. It takes the
// whole preface, as the first bytes: to net/http, and to whoever reads HTTP/1 leniently, a
// request line like the preface's is a request, with more of them behind it.
func (*scanner) prefaced(first []byte) responseProgress {
	switch {
	case bytes.HasPrefix(first, preface):
		return yes
	case bytes.HasPrefix(preface, first):
		return undecided
	default:
		return no
	}
}

// scanLines returns 0 where the part of the message that consists of lines is not complete.
func (s *scanner) scanLines(rest []byte) (int, *protocolError) {
	for {
		end := bytes.IndexByte(rest[s.searched:], '\n')
		if end < 0 {
			s.searched = len(rest)
			return 0, s.incomplete(rest)
		}
		end += s.searched
		line := rest[s.line:end]
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return 0, errBareLF
		}
		s.line, s.searched = end+1, end+1
		if protocolError := s.incomplete(rest[:end+1]); protocolError != nil {
			return 0, protocolError
		}
		complete, protocolError := s.take(line[:len(line)-1])
		if protocolError != nil {
			return 0, protocolError
		}
		if complete {
			s.line, s.searched = 0, 0
			return end + 1, nil
		}
	}
}

// incomplete bounds what is held back.
func (s *scanner) incomplete(held []byte) *protocolError {
	switch {
	case s.state == inHead && len(held) > s.maxHead:
		return errTooLarge
	case s.state != inHead && s.state != inTrailer && len(held) > maxChunkLine, s.state == inTrailer && len(held) > s.maxHead:
		return errChunk
	default:
		return nil
	}
}

// take reads one line, and tells whether it completes what it belongs to.
func (s *scanner) take(line []byte) (complete bool, _ *protocolError) {
	switch s.state {
	case inChunkSize:
		return true, s.chunkSize(line)
	case afterChunk:
		if len(line) > 0 {
			return false, errChunk
		}
		s.state = inChunkSize
		return true, nil
	case inTrailer:
		if len(line) == 0 {
			s.state = inHead
			return true, nil
		}
		_, _, protocolError := field(line)
		return false, protocolError
	}
	if !s.firstLine {
		s.firstLine = true
		s.head = head{}
		return false, s.head.requestLine(line)
	}
	if len(line) > 0 {
		return false, s.head.field(line)
	}
	s.firstLine = false
	return true, s.endHead()
}

func (s *scanner) endHead() *protocolError {
	s.heads++
	h := &s.head
	switch {
	case h.hosts > 1, h.hosts == 0 && h.minor == '1', h.authority != "" && h.hosts == 1 && !strings.EqualFold(h.authority, h.host):
		return errHost
	case h.lengths > 0 && h.codings > 0:
		return errLengths
	case h.codings > 0 && (h.codings > 1 || !h.chunked || h.minor == '0'):
		return errCoding
	case h.chunked:
		s.state = inChunkSize
	case h.length > 0:
		s.state, s.left = inBody, h.length
	case h.upgrade && h.asked:
		// What follows is HTTP only if the upgrade is refused, and then the doors close. To
		// another protocol than this nobody upgrades, and what follows is HTTP.
		s.state = notHTTP1
	}
	return nil
}

func (s *scanner) chunkSize(line []byte) *protocolError {
	digits, extension, _ := bytes.Cut(line, []byte(";"))
	if hasControl(extension) {
		return errChunk
	}
	digits = bytes.TrimRight(digits, " \t")
	size, err := strconv.ParseUint(string(digits), 16, 63)
	if err != nil || len(digits) > maxChunkDigits {
		return errChunk
	}
	if s.left = int64(size); size == 0 {
		s.state = inTrailer
	} else {
		s.state = inChunk
	}
	return nil
}

func (h *head) requestLine(line []byte) *protocolError {
	method, rest, _ := bytes.Cut(line, space)
	target, version, ok := bytes.Cut(rest, space)
	switch {
	case !ok || !httpapi.IsToken(method) || len(target) == 0 || hasControl(target) || bytes.ContainsAny(target, "\t "):
		return errRequestLine
	case string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0":
		return errVersion
	}
	h.minor = version[len(version)-1]
	if bytes.Contains(target, []byte("://")) {
		h.authority, _, _ = httpapi.Target(string(target))
	}
	if strings.Contains(h.authority, "%") {
		return errHost
	}
	spoilBadEscapes(target)
	return nil
}

// spoilBadEscapes makes a '%' in a path that begins no escape a backslash. net/http would
// refuse the request; so a door does it, which knows who may read why: both make a path
// ambiguous.
func spoilBadEscapes(target []byte) {
	path, _, _ := bytes.Cut(target, []byte("?"))
	for i, c := range path {
		if c == '%' && (len(path) < i+3 || !isHex(path[i+1]) || !isHex(path[i+2])) {
			path[i] = '\\'
		}
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (h *head) field(line []byte) *protocolError {
	name, value, protocolError := field(line)
	if protocolError != nil {
		return protocolError
	}
	switch {
	case is(name, "host"):
		h.hosts++
		if h.authority != "" {
			h.host = string(value)
		}
	case is(name, "content-length"):
		h.lengths++
		length, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil || h.lengths > 1 || len(value) > maxLengthDigits {
			return errLength
		}
		h.length = int64(length)
	case is(name, "transfer-encoding"):
		h.codings++
		h.chunked = is(value, "chunked")
	case is(name, "upgrade"):
		h.upgrade = h.upgrade || is(value, httpapi.ProtocolWebSocket)
	case is(name, "connection"):
		for option := range bytes.SplitSeq(value, []byte(",")) {
			h.asked = h.asked || is(bytes.Trim(option, " \t"), "upgrade")
		}
	}
	return nil
}

// is compares a text with one in lowercase.
func is(text []byte, lowercase string) bool {
	return len(text) == len(lowercase) && strings.EqualFold(string(text), lowercase)
}

// field splits a field line (RFC 9112, section 5).
func field(line []byte) (name, value []byte, _ *protocolError) {
	if line[0] == ' ' || line[0] == '\t' {
		return nil, nil, errFolded
	}
	name, value, ok := bytes.Cut(line, colon)
	switch {
	case !ok || !httpapi.IsToken(name):
		return nil, nil, errName
	case hasControl(value):
		return nil, nil, errControl
	}
	return name, bytes.Trim(value, " \t"), nil
}

func hasControl(text []byte) bool {
	for _, c := range text {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}
