// Package credential finds the key of a request: in headers, in a parameter of the query, or among the subprotocols of a
// WebSocket; or else the token of a signed URL. It also knows what has to be removed of it, so that content servers do not see it.
package credential

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/decision"
)

// The headers that may always carry a key, in http.CanonicalHeaderKey form.
const (
	HeaderAuthorization     = "Authorization"
	HeaderAPIKey            = "X-Api-Key"
	HeaderWebSocketProtocol = "Sec-Websocket-Protocol"

	schemeBearer = "Bearer"
	schemeBasic  = "Basic"
)

// Config is where else keys are looked for.
type Config struct {
	Parameters []string // of the query; names of letters, digits, '-' and '_'
	Headers    []string // each has a key and nothing else; names of letters, digits and '-'
	Schemes    []string // of Authorization, beside Bearer
}

// Locations are all places where keys are looked for. They never change. The nil Locations are the usual ones.
type Locations struct {
	parameters []routing.Parameter
	headers    []string // canonical
	folded     []string // the same in lower case
	schemes    []string
}

// New returns the locations of a configuration, which must be valid.
func New(c Config) *Locations {
	l := &Locations{schemes: c.Schemes}
	for _, name := range c.Parameters {
		l.parameters = append(l.parameters, routing.NewParameter(name))
	}
	for _, name := range c.Headers {
		name = http.CanonicalHeaderKey(name)
		l.headers, l.folded = append(l.headers, name), append(l.folded, strings.ToLower(name))
	}
	return l
}

// more are the headers beside those that always may carry a key.
func (l *Locations) more() []string {
	if l == nil {
		return nil
	}
	return l.headers
}

// Headers returns the names of all headers that Read reads.
func (l *Locations) Headers() []string {
	return append([]string{HeaderAuthorization, HeaderAPIKey, HeaderWebSocketProtocol}, l.more()...)
}

// Folded returns the names of the configured headers in lower case.
func (l *Locations) Folded() []string {
	if l == nil {
		return nil
	}
	return l.folded
}

// InURL reports whether keys may be in URLs. The tokens of signed URLs always may.
func (l *Locations) InURL() bool { return l != nil && len(l.parameters) > 0 }

// Found is what was found in a request.
type Found struct {
	Credential decision.Credential
	Location   decision.Location // of the text, or of something like it; the one that leaks most
	Header     string            // that has the text, if it is none of the usual two
	// Token is that of a signed URL, nil if there is none or it cannot be read.
	Token *urltoken.Token
	// RawQuery is the query without the parameters of keys and of tokens.
	RawQuery string
	// Doubt is QueryAmbiguous or PathAmbiguous if it depends on the reader whether the URL has a key.
	Doubt decision.Code
	// OwnAuthorization is set if Authorization is for the content server.
	OwnAuthorization bool
}

// Read finds the key in one of these forms:
//
//	Authorization: Bearer <key>    (RFC 6750, section 2.1; the scheme in any case; or another scheme that is configured)
//	Authorization: <key>
//	Authorization: Basic <key:>    (RFC 7617: the key as the user, and an empty password)
//	X-Api-Key: <key>               (or another header that is configured)
//	?<parameter>=<key>             (if the parameter is configured)
//	Sec-WebSocket-Protocol: keyward.key.<key>
//	?keyward-token=<token>         (of a signed URL, instead of a key)
//
// A key that is sent twice in one place, or differently in two, is malformed: the next reader of the request might choose the
// other one. An Authorization is for the content server if it has another scheme or, beside a key in another place, a token
// that cannot be a key by its form. The token of a signed URL is in place of a key; beside one, both are malformed. The path is
// percent-encoded, and rawQuery without its '?'; both are as sent.
func (l *Locations) Read(header http.Header, path, rawQuery string) Found {
	found := Found{RawQuery: rawQuery}
	var placed presented // in a place that is for keys only
	for i := range 1 + len(l.more()) {
		name := HeaderAPIKey
		if i > 0 {
			name = l.headers[i-1]
		}
		if lines := header[name]; len(lines) > 0 {
			text, ok := single(lines)
			placed.add(text, ok)
			if i > 0 && (text != "" || !ok) {
				found.Header = name
			}
		}
	}
	if lines := header[HeaderWebSocketProtocol]; len(lines) > 0 {
		if p := readProtocols(lines); p.keys > 0 {
			found.Location, found.Header = decision.InWebSocketProtocol, HeaderWebSocketProtocol
			placed.add(p.key, p.keys == 1 && p.key != "")
		}
	}
	var q cutQuery
	if rawQuery != "" || l.InURL() && strings.ContainsAny(path, ";%") {
		q = l.cut(path, rawQuery)
		found.RawQuery, found.Doubt = q.rest, q.doubt
		switch {
		case q.present:
			found.Location = decision.InQuery
			placed.add(q.text, q.whole)
		case q.tokens > 0 && found.Location == decision.InHeader:
			found.Location = decision.InSignedURL
		}
	}
	authorization, ok := single(header[HeaderAuthorization])
	if !ok || placed.malformed {
		found.Credential.Form = decision.Malformed
		return found
	}
	text, kind := l.fromAuthorization(authorization)
	switch {
	case kind == foreign && (isJoined(authorization) || (placed.text != "" || q.tokens > 0) && holdsKey(authorization, placed.text)):
		found.Credential.Form = decision.Malformed
		return found
	case kind == foreign, (placed.text != "" || q.tokens > 0) && text != placed.text && kind.mayBeOwn(text):
		found.OwnAuthorization = authorization != ""
		text = placed.text
	case placed.text != "" && text != placed.text:
		found.Credential.Form = decision.Malformed
		return found
	}
	if text != "" || kind != foreign && !found.OwnAuthorization {
		found.Credential = FromText(text)
	}
	found.sign(q.token, q.tokens)
	return found
}

// sign makes a token the credential. A key beside it is a second credential, which the next reader of the request might choose. Of
// two tokens none is good, nor is one that cannot be read.
func (f *Found) sign(text string, tokens int) {
	switch {
	case tokens == 0:
	case f.Credential.Form != decision.Absent:
		f.Credential = decision.Credential{Form: decision.Malformed}
	default:
		f.Credential.Form = decision.SignedURL
		if token, err := urltoken.Parse(text); err == nil && tokens == 1 {
			f.Token = token
		}
	}
}

// presented is the text from all places that are for keys only.
type presented struct {
	text      string
	malformed bool
}

func (p *presented) add(text string, ok bool) {
	switch {
	case !ok, p.text != "" && text != "" && text != p.text:
		p.malformed = true
	case text != "":
		p.text = text
	}
}

// FromText returns the credential for the text of a key, which may be "".
func FromText(text string) decision.Credential {
	switch {
	case keyformat.WellFormed(text):
		return decision.Credential{Form: decision.WellFormed, Digest: keyformat.DigestOf(text)}
	case keyformat.Importable(text):
		return decision.Credential{Form: decision.Foreign, Digest: keyformat.DigestOf(text)}
	default:
		return decision.Credential{Form: decision.Malformed}
	}
}

// single returns the value of a header with at most one line, without the white space around it (RFC 9110, section
// 5.5). It reports whether there is at most one.
func single(lines []string) (string, bool) {
	switch len(lines) {
	case 0:
		return "", true
	case 1:
		return strings.Trim(lines[0], " \t"), true
	default:
		return "", false
	}
}

// kind is what an Authorization is.
type kind uint8

const (
	foreign kind = iota // of another scheme, or none
	token
	user // of the scheme Basic
)

// mayBeOwn reports whether an Authorization is for the content server if there is another key in a place for keys. What has
// the form of a key is a second key. So may be any other token, because imported keys have no form of their own. Only a JWT is
// taken for the content server's.
func (k kind) mayBeOwn(text string) bool {
	if k == user {
		return !keyformat.WellFormed(text)
	}
	return isJWT(text)
}

// fromAuthorization returns the text of an Authorization value that may be a key.
func (l *Locations) fromAuthorization(value string) (string, kind) {
	if value == "" {
		return "", foreign
	}
	scheme, rest, hasRest := strings.Cut(value, " ")
	switch {
	case strings.EqualFold(scheme, schemeBearer), l.isScheme(scheme) && hasRest:
		return strings.TrimLeft(rest, " "), token
	case !hasRest:
		return value, token
	case strings.EqualFold(scheme, schemeBasic):
		if text, ok := fromBasic(strings.TrimLeft(rest, " ")); ok {
			return text, user
		}
		return "", foreign
	case looksLikeScheme(scheme):
		return "", foreign
	default:
		return value, token
	}
}

func (l *Locations) isScheme(scheme string) bool {
	if l == nil {
		return false
	}
	for _, known := range l.schemes {
		if strings.EqualFold(scheme, known) {
			return true
		}
	}
	return false
}

// fromBasic returns the user of a Basic credential with an empty password, if it may be a key.
func fromBasic(encoded string) (string, bool) {
	if len(encoded) > base64.StdEncoding.EncodedLen(keyformat.MaxImport+1) {
		return "", false
	}
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", false
	}
	name, ok := strings.CutSuffix(string(text), ":")
	return name, ok && !strings.Contains(name, ":") && (keyformat.WellFormed(name) || keyformat.Importable(name))
}

// holdsKey reports whether an Authorization of another scheme, or a Basic one from which no key is read, has the key that the request has
// in another place, or one of Keyward's form: the content server must not get it.
func holdsKey(value, key string) bool {
	const mark = " \t,;=\""
	scheme, rest, _ := strings.Cut(value, " ")
	for word := range strings.FieldsFuncSeq(rest, func(r rune) bool { return strings.ContainsRune(mark, r) }) {
		if word == key || keyformat.WellFormed(word) {
			return true
		}
	}
	if !strings.EqualFold(scheme, schemeBasic) {
		return false
	}
	// Content servers differ in the alphabets that they read, and in whether they want padding.
	encoded := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(strings.Trim(rest, " "), "="))
	text, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	name, password, _ := strings.Cut(string(text), ":")
	return key != "" && (name == key || password == key) || keyformat.WellFormed(name) || keyformat.WellFormed(password)
}

// isJWT reports whether a text is a JSON Web Token in compact form: signed (RFC 7515, section 7.1) or encrypted (RFC 7516,
// section 7.1). No key that Keyward makes has that form.
func isJWT(text string) bool {
	const signed, encrypted = 2, 4 // dots
	dots := strings.Count(text, ".")
	if dots != signed && dots != encrypted || len(text) > maxJWT {
		return false
	}
	for part := range strings.SplitSeq(text, ".") {
		if strings.ContainsFunc(part, func(c rune) bool { return !isBase64URL(c) }) {
			return false
		}
	}
	first, _, _ := strings.Cut(text, ".")
	header, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return false
	}
	var has struct {
		Alg string `json:"alg"`
	}
	return json.Unmarshal(header, &has) == nil && has.Alg != ""
}

const maxJWT = 32 << 10 // bytes

func isBase64URL(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// isJoined reports whether an Authorization of another scheme is followed by a second one, from a line that a proxy has
// joined with a comma: what follows is not a parameter of the first (RFC 9110, section 11.4).
func isJoined(value string) bool {
	quoted := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted && !startsParameter(value[i+1:]):
			return true
		}
	}
	return false
}

func startsParameter(s string) bool {
	s = strings.TrimLeft(s, " \t")
	name, _, hasValue := strings.Cut(s, "=")
	return hasValue && IsToken(strings.TrimRight(name, " \t"))
}

// looksLikeScheme distinguishes an authentication scheme from a key that is followed by something: no registered scheme has
// a '_', and every key has one.
func looksLikeScheme(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != ""
}
