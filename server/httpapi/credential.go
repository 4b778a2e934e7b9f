// Package httpapi is how requests and decisions look in HTTP, for all integrations: where a credential is found, which
// headers an allowed request gains and loses, and how a denial is written.
package httpapi

import (
	"net/http"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

// The headers that may carry a key, in http.CanonicalHeaderKey form.
const (
	HeaderAuthorization = "Authorization"
	HeaderAPIKey        = "X-Api-Key"

	schemeBearer = "Bearer"
)

// NewRequest collects what a decision needs from the header of a request. Path is percent-encoded, and rawQuery without
// its '?'; both are as sent.
func NewRequest(header http.Header, method, host, path, rawQuery string) decision.Request {
	request := decision.Request{
		Credential: Credential(header),
		Method:     method,
		Host:       host,
		Path:       path,
		RawQuery:   rawQuery,
		// Two lines of one of them make an invalid origin, and so a denial.
		Origin:  strings.Join(header["Origin"], ", "),
		Referer: strings.Join(header["Referer"], ", "),
		// Two lines of this one are no value that a browser sends.
		FetchSite: strings.Join(header[headerFetchSite], ", "),
	}
	if asked := header[headerRequestMethod]; method == http.MethodOptions && request.Origin != "" && len(asked) == 1 && IsToken(asked[0]) {
		request.PreflightMethod = asked[0]
		request.PreflightHeaders = strings.Join(header[headerRequestHeaders], ",")
	}
	return request
}

// SplitTarget splits a request target in origin form (RFC 9112, section 3.2.1).
func SplitTarget(target string) (path, rawQuery string) {
	path, rawQuery, _ = strings.Cut(target, "?")
	return path, rawQuery
}

// Target splits the target of an HTTP/1 request in origin form, or in absolute form of the schemes http and https (RFC
// 9112, section 3.2). A target in another form is returned as the path. No valid path begins like that, so that it is
// refused.
func Target(target string) (authority, path, rawQuery string) {
	scheme, rest, absolute := strings.Cut(target, "://")
	if !absolute || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		path, rawQuery = SplitTarget(target)
		return "", path, rawQuery
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return "", target, ""
	}
	path, rawQuery = SplitTarget(rest[end:])
	if path == "" {
		path = "/"
	}
	return rest[:end], path, rawQuery
}

// Credential finds the key in one of these forms:
//
//	Authorization: Bearer <key>    (RFC 6750, section 2.1; the scheme in any case)
//	Authorization: <key>
//	X-Api-Key: <key>
//
// A key that is sent twice in one header, or differently in both, is malformed: the next reader of the request might
// choose the other one. An Authorization of another scheme, such as Basic, is not for Keyward.
func Credential(header http.Header) decision.Credential {
	authorization, authorizationOK := single(header[HeaderAuthorization])
	apiKey, apiKeyOK := single(header[HeaderAPIKey])
	if !authorizationOK || !apiKeyOK {
		return decision.Credential{Form: decision.Malformed}
	}
	text, ours := fromAuthorization(authorization)
	switch {
	case !ours && isJoined(authorization):
		return decision.Credential{Form: decision.Malformed}
	case !ours:
		text = apiKey
	case apiKey != "" && apiKey != text:
		return decision.Credential{Form: decision.Malformed}
	}
	if !ours && text == "" {
		return decision.Credential{}
	}
	return FromText(text)
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

// fromAuthorization returns the key text of an Authorization value. It reports whether the value is meant for Keyward.
func fromAuthorization(value string) (text string, ours bool) {
	if value == "" {
		return "", false
	}
	scheme, rest, hasRest := strings.Cut(value, " ")
	switch {
	case strings.EqualFold(scheme, schemeBearer):
		return strings.TrimLeft(rest, " "), true
	case !hasRest:
		return value, true
	default:
		return value, !isScheme(scheme)
	}
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

// isScheme distinguishes an authentication scheme from a key that is followed by something: no registered scheme has a
// '_', and every key has one.
func isScheme(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != ""
}
