package routing

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// pathPattern is a compiled path pattern. Literals are in canonical form, so they compare
// byte by byte with the result of CanonicalPath.
type pathPattern struct {
	segments []string // what follows each '/', with '*' as written
	subtree  bool     // '/**' at the end
	rank     int
}

const subtreeSuffix = "/**"

func compilePath(pattern string) (pathPattern, error) {
	base, subtree := strings.CutSuffix(pattern, subtreeSuffix)
	if err := checkPathPattern(pattern, base); err != nil {
		return pathPattern{}, err
	}
	p := pathPattern{subtree: subtree}
	if base != "" {
		p.segments = strings.Split(base[1:], "/")
	}
	p.rank = pathRank(base, subtree)
	return p, nil
}

// pathRank orders path patterns by the number of literal characters; of patterns with
// equally many, one without wildcards comes first. It is never 0, the rank of a route
// without paths.
func pathRank(base string, subtree bool) int {
	stars := strings.Count(base, "*")
	rank := 1 + 2*(len(base)-stars)
	if stars == 0 && !subtree {
		rank++
	}
	return rank
}

func checkPathPattern(pattern, base string) error {
	switch {
	case !strings.HasPrefix(pattern, "/"):
		return errors.New("a path starts with '/'")
	case strings.Contains(base, "**"):
		return errors.New("'**' may only be the whole last segment, as in /api/**; within a segment write one '*'")
	case strings.ContainsAny(base, "?#"):
		return errors.New("leave out what follows '?' or '#'; parameters go into query")
	case strings.Contains(base, "%"):
		return errors.New("write characters as they are, not percent-encoded: requests are decoded before they are compared")
	}
	if base == "" {
		return nil
	}
	if err := checkCanonical(base); err != nil {
		return fmt.Errorf("no request could match it: %w", err)
	}
	return nil
}

// match tells whether the pattern matches the whole of a canonical path.
func (p *pathPattern) match(path string) bool {
	for _, segment := range p.segments {
		if path == "" || path[0] != '/' {
			return false
		}
		end := strings.IndexByte(path[1:], '/') + 1
		if end == 0 {
			end = len(path)
		}
		if !matchSegment(segment, path[1:end]) {
			return false
		}
		path = path[end:]
	}
	return path == "" || p.subtree
}

// matchSegment matches '*' with any run of characters. Backtracking to the last '*' only
// is enough, and keeps the work under len(pattern) × len(s).
func matchSegment(pattern, s string) bool {
	if pattern == "*" {
		return s != ""
	}
	at, star, resume := 0, -1, 0
	for i := 0; i < len(s); {
		switch {
		case at < len(pattern) && pattern[at] == '*':
			star, resume = at, i
			at++
		case at < len(pattern) && pattern[at] == s[i]:
			at++
			i++
		case star >= 0:
			resume++
			at, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[at:], "*") == ""
}

// ErrAmbiguousPath is wrapped by the errors of CanonicalPath. It marks paths that the
// servers on a request's way may read in different ways, so that one that checks access
// and one that serves content would not mean the same resource.
var ErrAmbiguousPath = errors.New("ambiguous path")

// The reasons for ErrAmbiguousPath, made once so that refusing is as cheap as accepting.
var (
	errNotAbsolute  = fmt.Errorf("%w: it does not start with '/'", ErrAmbiguousPath)
	errDotSegment   = fmt.Errorf("%w: it has a '.' or '..' segment", ErrAmbiguousPath)
	errEmptySegment = fmt.Errorf("%w: it has an empty segment", ErrAmbiguousPath)
	errSlash        = fmt.Errorf("%w: it has an encoded slash or a backslash", ErrAmbiguousPath)
	errControl      = fmt.Errorf("%w: it has a control character", ErrAmbiguousPath)
	errDouble       = fmt.Errorf("%w: it is percent-encoded twice", ErrAmbiguousPath)
	errEscape       = fmt.Errorf("%w: it has an invalid percent-encoding", ErrAmbiguousPath)
	errUTF8         = fmt.Errorf("%w: it is not UTF-8", ErrAmbiguousPath)
	errDelimiter    = fmt.Errorf("%w: it has a '?' or '#'", ErrAmbiguousPath)
)

// CanonicalPath returns the path on which routes are matched: raw, the path as sent,
// percent-decoded once. What two readers could understand differently is refused with an
// error that wraps ErrAmbiguousPath. A slash at the end is kept. A path without escapes is
// returned as it is, without allocation.
func CanonicalPath(raw string) (string, error) {
	path := raw
	if strings.ContainsAny(raw, "%?#") {
		var err error
		if path, err = decode(raw); err != nil {
			return "", err
		}
	}
	if err := checkCanonical(path); err != nil {
		return "", err
	}
	return path, nil
}

// decode undoes one percent-encoding (RFC 3986, section 2.1).
func decode(raw string) (string, error) {
	decoded := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '?' || c == '#' {
			return "", errDelimiter
		}
		if c == '%' {
			var err error
			if c, err = escaped(raw[i+1:]); err != nil {
				return "", err
			}
			i += 2
		}
		decoded = append(decoded, c)
	}
	return string(decoded), nil
}

// escaped returns the character of the two digits that follow a '%'.
func escaped(digits string) (byte, error) {
	if len(digits) < 2 || !isHex(digits[0]) || !isHex(digits[1]) {
		return 0, errEscape
	}
	switch c := unhex(digits[0])<<4 | unhex(digits[1]); c {
	case '/', '\\':
		return 0, errSlash
	case '%':
		return 0, errDouble
	default:
		return c, nil
	}
}

// checkCanonical checks a decoded path, or a pattern of one.
func checkCanonical(path string) error {
	if path == "" || path[0] != '/' {
		return errNotAbsolute
	}
	start := 1
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			if path[i] == '\\' {
				return errSlash
			}
			if path[i] < 0x20 || path[i] == 0x7f {
				return errControl
			}
			continue
		}
		segment := path[start:i]
		if segment == "" && i < len(path) {
			return errEmptySegment
		}
		if isDotSegment(segment) {
			return errDotSegment
		}
		start = i + 1
	}
	if !utf8.ValidString(path) {
		return errUTF8
	}
	return nil
}

// isDotSegment also knows the dot segments with a parameter, such as "..;x", which servlet
// containers read as "..".
func isDotSegment(segment string) bool {
	if segment == "" || segment[0] != '.' {
		return false
	}
	name, _, _ := strings.Cut(segment, ";")
	return name == "." || name == ".."
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
