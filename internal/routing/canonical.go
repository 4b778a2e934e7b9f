package routing

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxPath is the greatest length of a path in bytes, as it is sent.
const MaxPath = 8 << 10

// ErrPathTooLong is the error for a path that is longer than MaxPath.
var ErrPathTooLong = fmt.Errorf("the path is longer than %d bytes", MaxPath)

// ErrAmbiguousPath is wrapped by the errors of CanonicalPath. It marks paths that the
// servers that process a request may interpret in different ways, so that the server that checks access
// and the one that serves content would not refer to the same resource.
var ErrAmbiguousPath = errors.New("ambiguous path")

// The reasons for ErrAmbiguousPath, created once so that refusing is as cheap as accepting.
var (
	errNotAbsolute  = fmt.Errorf("%w: it does not start with '/'", ErrAmbiguousPath)
	errDotSegment   = fmt.Errorf("%w: it has a '.' or '..' segment", ErrAmbiguousPath)
	errEmptySegment = fmt.Errorf("%w: it has an empty segment", ErrAmbiguousPath)
	errSlash        = fmt.Errorf("%w: it has an encoded slash, a backslash, or a character that looks like one", ErrAmbiguousPath)
	errControl      = fmt.Errorf("%w: it has a control character", ErrAmbiguousPath)
	errDouble       = fmt.Errorf("%w: it is percent-encoded twice", ErrAmbiguousPath)
	errEscape       = fmt.Errorf("%w: it has an invalid percent-encoding", ErrAmbiguousPath)
	errUTF8         = fmt.Errorf("%w: it is not UTF-8", ErrAmbiguousPath)
	errDelimiter    = fmt.Errorf("%w: it has a '?' or '#'", ErrAmbiguousPath)
	errParameter    = fmt.Errorf("%w: it has a ';' in a segment, or a character that looks like one", ErrAmbiguousPath)
	errTrailing     = fmt.Errorf("%w: it has a segment that ends in '.' or a space", ErrAmbiguousPath)
	errStream       = fmt.Errorf("%w: it has a segment with the name of a stream, such as '::$DATA'", ErrAmbiguousPath)
	errAlike        = fmt.Errorf("%w: it has a character that some servers read as '%%', '?' or '#'", ErrAmbiguousPath)
	errLetter       = fmt.Errorf("%w: it has a character that some servers read as letters of ASCII", ErrAmbiguousPath)
	errShortName    = fmt.Errorf("%w: it has a segment that looks like a short name of Windows, such as 'REPORT~1'", ErrAmbiguousPath)
)

// Reading describes how content servers interpret paths. The zero Reading is for any content server.
type Reading struct {
	// Parameters means that content servers interpret a ';', and a '.' or a space at the end of a
	// segment, like any other character. Some cut off what follows a ';' (servlet containers),
	// or drop dots and spaces at the end (Windows), so without Parameters such paths are ambiguous.
	Parameters bool
	// IgnoreCase means that content servers ignore the case of names. Paths are folded
	// then, and compared with folded patterns.
	IgnoreCase bool
}

// CanonicalPath returns a path as any content server interprets it.
func CanonicalPath(raw string) (string, error) { return Reading{}.Path(raw) }

// Path returns the path that routes are matched with: raw, the path as sent, percent-decoded
// once. A path that two servers could interpret differently is refused with an error that wraps
// ErrAmbiguousPath, and one that is too long with ErrPathTooLong. A slash at the end is kept. A path
// without escapes is returned as it is, without allocation, unless case is ignored.
func (r Reading) Path(raw string) (string, error) {
	if len(raw) > MaxPath {
		return "", ErrPathTooLong
	}
	path := raw
	encoded, err := r.check(raw, true)
	if encoded {
		if path, err = decode(raw); err == nil {
			_, err = r.check(path, false)
		}
	}
	if err != nil {
		return "", err
	}
	if r.IgnoreCase {
		if hasShortName(path) {
			return "", errShortName
		}
		if hasLetterAlike(path) {
			return "", errLetter
		}
		path = foldCase(path)
	}
	return path, nil
}

// decode undoes one percent-encoding (RFC 3986, section 2.1).
func decode(raw string) (string, error) {
	decoded := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch c {
		case '?', '#':
			return "", errDelimiter
		case '%':
			if !startsEscape(raw[i:]) {
				return "", errEscape
			}
			if c = unhex(raw[i+1])<<4 | unhex(raw[i+2]); c == '/' {
				return "", errSlash
			}
			i += 2
		}
		decoded = append(decoded, c)
	}
	return string(decoded), nil
}

// startsEscape reports whether a text that begins with '%' begins with an escape.
func startsEscape(s string) bool { return len(s) > 2 && isHex(s[1]) && isHex(s[2]) }

// startsWideEscape is the same for the escapes that Microsoft invented, such as %u002f.
func startsWideEscape(s string) bool {
	return len(s) > 5 && (s[1] == 'u' || s[1] == 'U') && isHex(s[2]) && isHex(s[3]) && isHex(s[4]) && isHex(s[5])
}

// notable are the characters that check has to examine. All others have no special meaning.
var notable = func() (table [256]bool) {
	for c := range table {
		table[c] = c < 0x20 || c >= 0x7f || strings.IndexByte(`/\;:%?#`, byte(c)) >= 0
	}
	return table
}()

// check checks a path, or a pattern of paths. A raw path may be encoded: then the result says only that,
// and the decoded path has to be checked.
func (r Reading) check(path string, raw bool) (encoded bool, _ error) {
	if path == "" || path[0] != '/' {
		return false, errNotAbsolute
	}
	start, wide := 1, false // where the segment starts; whether there are characters beyond ASCII
	for i := 1; i < len(path); i++ {
		c := path[i]
		if !notable[c] {
			continue
		}
		switch {
		case c == '/':
			if err := r.checkSegment(path[start:i]); err != nil {
				return false, err
			}
			start = i + 1
		case c >= utf8.RuneSelf:
			wide = true
		case c == '%' && raw, (c == '?' || c == '#') && raw:
			return true, nil
		case c == '%' && (startsEscape(path[i:]) || startsWideEscape(path[i:])):
			return false, errDouble // a second decoding would result in another path
		case c == ';' && !r.Parameters:
			return false, errParameter
		case c == ':' && i+1 < len(path) && path[i+1] == '$':
			return false, errStream
		case c == '\\':
			return false, errSlash
		case c < 0x20 || c == 0x7f:
			return false, errControl
		}
	}
	if start < len(path) { // or else the path ends in a slash
		if err := r.checkSegment(path[start:]); err != nil {
			return false, err
		}
	}
	if wide {
		return false, r.checkWide(path)
	}
	return false, nil
}

func (r Reading) checkSegment(segment string) error {
	if segment == "" || segment[0] == ';' {
		return errEmptySegment
	}
	if segment[0] == '.' && isDotSegment(segment) {
		return errDotSegment
	}
	if last := segment[len(segment)-1]; (last == '.' || last == ' ') && !r.Parameters {
		return errTrailing
	}
	return nil
}

// isDotSegment also recognizes dot segments with a parameter, such as "..;x", which servlet
// containers interpret as "..".
func isDotSegment(segment string) bool {
	name, _, _ := strings.Cut(segment, ";")
	return name == "." || name == ".."
}

// hasShortName reports whether a segment may be the short name that Windows has given to a file,
// of the form REPORT~1 or REPORT~1.TXT.
func hasShortName(path string) bool {
	if strings.IndexByte(path, '~') < 0 {
		return false
	}
	const maxName, maxExtension = 8, 3
	for segment := range strings.SplitSeq(path, "/") {
		name, extension, _ := strings.Cut(segment, ".")
		tilde := strings.LastIndexByte(name, '~')
		if tilde > 0 && len(name) <= maxName && len(extension) <= maxExtension && isDigits(name[tilde+1:]) {
			return true
		}
	}
	return false
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}
