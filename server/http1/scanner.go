package http1

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/keyward-dev/keyward/server/httpapi"
)

var (
	// preface is the beginning of an HTTP/2 connection (RFC 9113, section 3.4).
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
	notHTTP1 // HTTP/2, or the protocol that a connection was upgraded to
)

// scanner follows a stream of requests (RFC 9112). Heads, chunk sizes and trailers are passed on when they are complete
// and correct, bodies as they arrive. It changes nothing of what is passed on, except invalid escapes.
type scanner struct {
	maxHead int

	state    state
	left     int64 // of the body or chunk
	line     int   // where the current line begins in the pending bytes
	searched int   // up to where the pending bytes were searched for its end
	inFields bool  // the current line is not the first of its head
	head     head
	heads    int64 // that are complete, and for net/http
}

// head is what the scanner needs of a request's head.
type head struct {
	minor           byte
	authority, host string // host only if there is an authority to compare it with
	hosts, lengths  int
	length          int64
	codings         int
	chunked         bool
	upgrade, asked  bool // the headers Upgrade: websocket, and Connection: upgrade
}

// scan returns how many of the pending bytes net/http may read. The caller passes the other bytes again the next time,
// with more behind them.
func (s *scanner) scan(pending []byte) (passable int, _ *protocolError) {
	if s.heads == 0 && s.state == inHead && !s.inFields {
		switch s.prefaced(pending) {
		case yes:
			s.state = notHTTP1
		case undecided:
			return 0, nil
		}
	}
	for passable < len(pending) {
		rest := pending[passable:]
		switch s.state {
		case notHTTP1:
			return len(pending), nil
		case inBody, inChunk:
			n := min(int64(len(rest)), s.left)
			s.left -= n
			passable += int(n)
			if s.left == 0 {
				s.state = map[state]state{inBody: inHead, inChunk: afterChunk}[s.state]
			}
		default:
			n, protocolError := s.scanLines(rest)
			if protocolError != nil || n == 0 {
				return passable, protocolError
			}
			passable += n
		}
	}
	return passable, nil
}

type tristate uint8

const (
	no tristate = iota
	yes
	undecided
)

// prefaced reports whether a connection with these first bytes speaks HTTP/2. It requires the whole preface, as the
// first bytes: for net/http, and for every lenient HTTP/1 reader, a request line like the preface's is a request, with
// more requests behind it.
func (*scanner) prefaced(first []byte) tristate {
	switch {
	case bytes.HasPrefix(first, preface):
		return yes
	case bytes.HasPrefix(preface, first):
		return undecided
	default:
		return no
	}
}

// scanLines scans a part of a message that consists of lines, and returns its end. It returns 0 if the part is not
// complete.
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

// incomplete bounds how much is buffered.
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

// take reads one line. It reports whether the line completes the part that it belongs to.
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
	if !s.inFields {
		s.inFields = true
		s.head = head{}
		return false, s.head.requestLine(line)
	}
	if len(line) > 0 {
		return false, s.head.field(line)
	}
	s.inFields = false
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
		// What follows is HTTP only if the upgrade is refused, and then the integrations close the connection.
		// No integration upgrades to another protocol than this, so that what follows is HTTP.
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
	poisonInvalidEscapes(target)
	return nil
}

// poisonInvalidEscapes replaces a '%' in a path that begins no escape by a backslash. Otherwise net/http would refuse the
// request. Now an integration refuses it, which knows who may read the reason: both make a path ambiguous.
func poisonInvalidEscapes(target []byte) {
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

// is reports whether a text equals a lowercase one, ignoring case.
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
