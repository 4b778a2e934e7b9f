package decision

import (
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/pkg/urltoken"
)

// Signers is a Snapshot that knows keys which sign URLs.
type Signers interface {
	// Signer returns the digest and the secret of the version that has the ID.
	Signer(id urltoken.ID) (digest keyformat.Digest, secret []byte, ok bool)
}

// Resolve makes the version that has signed the Token the credential, if the signature is right. Otherwise the request is
// denied with URLInvalid: whether there is such a version does not show.
func (r *Request) Resolve(signers Signers) {
	if r.Credential.Form != SignedURL || r.Token == nil {
		return
	}
	digest, secret, ok := signers.Signer(r.Token.ID())
	if !ok {
		return
	}
	if claims, ok := r.Token.Verify(secret); ok {
		r.Credential.Digest, r.claims = digest, &claims
	}
}

// urlIsOver reports whether a signed URL has expired. All that ends its key ends it, too, and is checked before.
func (e *evaluation) urlIsOver() bool {
	claims := e.request.claims
	return claims != nil && e.nowMillis >= claims.Expires.UnixMilli()
}

// isSignedFor reports whether a signed URL is for this request. A request with the key itself needs none.
func (e *evaluation) isSignedFor() bool {
	claims := e.request.claims
	return claims == nil || claims.Expires.UnixMilli()-e.nowMillis <= urltoken.MaxLifetime.Milliseconds() &&
		claims.Project == e.project.Name && slices.Contains(claims.Methods, e.request.Method) &&
		e.isBelow(claims.Path) && e.isFrom(claims.Origin)
}

// isBelow reports whether the path that routes are matched with is the signed one, read in the same way, or below it.
func (e *evaluation) isBelow(signed string) bool {
	signed, err := e.request.Reading.Path(signed)
	if err != nil {
		return false
	}
	path := e.routing.Path
	return path == signed || strings.HasPrefix(path, strings.TrimSuffix(signed, "/")+"/")
}

// isFrom reports whether the request comes from the signed origin, if there is one.
func (e *evaluation) isFrom(signed string) bool {
	if signed == "" {
		return true
	}
	want, err := origin.Parse(signed)
	if err != nil {
		return false
	}
	var from origin.Origin
	if e.request.Origin != "" {
		from, err = origin.Parse(e.request.Origin)
	} else {
		from, err = origin.ParseReferer(e.request.Referer)
	}
	return err == nil && from == want
}
