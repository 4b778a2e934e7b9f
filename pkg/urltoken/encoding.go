package urltoken

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// format is the first byte of a token. Another format gets another number.
const format = 1

// encoding is strict: each token has one text.
var encoding = base64.RawURLEncoding.Strict()

// methods are those that a token can allow, by their bits.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

const reading = 1<<0 | 1<<1 // GET and HEAD

// fixed is the size of what precedes the texts, in bytes: the format, the ID, the expiry and the methods.
const fixed = 1 + IDSize + 8 + 1

func (c *Claims) encode(id ID) ([]byte, error) {
	allowed, err := c.methodBits()
	if err != nil {
		return nil, err
	}
	seconds := c.Expires.Unix()
	switch {
	case !isProject(c.Project):
		return nil, fmt.Errorf("%w: name a project, with lower-case letters, digits and '-'", errClaims)
	case !isPath(c.Path):
		return nil, fmt.Errorf("%w: the path begins with '/', and has at most %d printable characters, without '?' and '#'", errClaims, maxPath)
	case c.Origin != "" && !isOrigin(c.Origin):
		return nil, fmt.Errorf("%w: write the origin as scheme and host, such as https://www.acme.example", errClaims)
	case seconds <= 0:
		return nil, fmt.Errorf("%w: say when it expires", errClaims)
	}
	payload := append(make([]byte, 0, fixed+len(c.Project)+len(c.Path)+len(c.Origin)+4+64), format)
	payload = append(payload, id[:]...)
	payload = binary.BigEndian.AppendUint64(payload, uint64(seconds))
	payload = append(payload, allowed)
	payload = append(append(payload, byte(len(c.Project))), c.Project...)
	payload = append(binary.BigEndian.AppendUint16(payload, uint16(len(c.Path))), c.Path...)
	return append(append(payload, byte(len(c.Origin))), c.Origin...), nil
}

func (c *Claims) methodBits() (bits byte, err error) {
	if len(c.Methods) == 0 {
		return reading, nil
	}
	for _, method := range c.Methods {
		at := slices.Index(methods, method)
		if at < 0 {
			return 0, fmt.Errorf("%w: the methods are %s", errClaims, strings.Join(methods, ", "))
		}
		bits |= 1 << at
	}
	return bits, nil
}

// Parse reads a token. It accepts exactly what Sign returns, and does not check the signature. Its work is bounded by MaxText.
func Parse(text string) (*Token, error) {
	if len(text) > MaxText || strings.ContainsAny(text, "\r\n") { // which the decoder would skip
		return nil, ErrToken
	}
	data, err := encoding.DecodeString(text)
	t := &Token{}
	if err != nil || len(data) < fixed+4+len(t.sum) || data[0] != format {
		return nil, ErrToken
	}
	payload := data[:len(data)-len(t.sum)]
	copy(t.sum[:], data[len(payload):])
	copy(t.id[:], payload[1:])
	t.payload = payload
	rest := payload[1+IDSize:]
	seconds, bits := binary.BigEndian.Uint64(rest), rest[8]
	rest = rest[9:]
	for _, field := range []struct {
		into *string
		wide bool
	}{{&t.claims.Project, false}, {&t.claims.Path, true}, {&t.claims.Origin, false}} {
		var ok bool
		if *field.into, rest, ok = cutText(rest, field.wide); !ok {
			return nil, ErrToken
		}
	}
	const latest = 1 << 40 // beyond any date that is meant
	c := &t.claims
	if len(rest) > 0 || seconds == 0 || seconds > latest || bits == 0 || int(bits) >= 1<<len(methods) || !isProject(c.Project) ||
		!isPath(c.Path) || c.Origin != "" && !isOrigin(c.Origin) {
		return nil, ErrToken
	}
	c.Expires = time.Unix(int64(seconds), 0).UTC()
	for at, method := range methods {
		if bits>>at&1 == 1 {
			c.Methods = append(c.Methods, method)
		}
	}
	return t, nil
}

// cutText cuts a text off that follows its length, of one byte or two.
func cutText(data []byte, wide bool) (text string, rest []byte, ok bool) {
	head := 1
	if wide {
		head = 2
	}
	if len(data) < head {
		return "", nil, false
	}
	size := int(data[0])
	if wide {
		size = int(binary.BigEndian.Uint16(data))
	}
	if data = data[head:]; len(data) < size {
		return "", nil, false
	}
	return string(data[:size]), data[size:], true
}

func isProject(s string) bool {
	return s != "" && len(s) <= maxProject && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	})
}

// isPath and isOrigin accept printable ASCII: the rest is for the validation server to understand.
func isPath(s string) bool {
	return strings.HasPrefix(s, "/") && len(s) <= maxPath && isPrintable(s) && !strings.ContainsAny(s, "?#")
}

func isOrigin(s string) bool {
	scheme, host, ok := strings.Cut(s, "://")
	return ok && scheme != "" && host != "" && len(s) <= maxOrigin && isPrintable(s) && !strings.ContainsAny(host, "/?#@,")
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f })
}
