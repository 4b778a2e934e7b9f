// Package httpapi is how requests and decisions look in HTTP, for all integrations: where a credential is found, which
// headers an allowed request gains and loses, and how a denial is written.
package httpapi

import (
	"net/http"
	"strings"

	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
)

// The headers that may always carry a key, in http.CanonicalHeaderKey form.
const (
	HeaderAuthorization = credential.HeaderAuthorization
	HeaderAPIKey        = credential.HeaderAPIKey
)

// NewRequest collects what a decision needs from the header of a request, and takes the key, or the token of a signed URL, out of
// the query. Path is percent-encoded, and rawQuery without its '?'; both are as sent.
func NewRequest(keys *credential.Locations, header http.Header, method, host, path, rawQuery string) decision.Request {
	found := keys.Read(header, path, rawQuery)
	request := decision.Request{
		Credential: found.Credential,
		Token:      found.Token,
		Location:   found.Location,
		KeyHeader:  found.Header,
		KeyDoubt:   found.Doubt,
		Method:     method,
		Host:       host,
		Path:       path,
		RawQuery:   found.RawQuery,
		// An app's own token passes on beside the key.
		OwnAuthorization: found.OwnAuthorization,
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
