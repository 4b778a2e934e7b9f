// Package urltoken signs URLs with an API key of Keyward, and reads what was signed. A signed URL lets somebody who has no key,
// such as a page, an <img> or an <iframe>, request what is below one path for a short time. The format is documented in
// docs/reference/signed-urls.md.
//
//	token, err := urltoken.Sign(key, urltoken.Claims{Project: "marketing", Path: "/videos/", Expires: time.Now().Add(15 * time.Minute)})
//	signed, err := urltoken.Add("https://cdn.acme.example/videos/intro.mp4", token)
package urltoken

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

const (
	// Parameter is the query parameter that has the token.
	Parameter = "keyward-token"
	// MaxLifetime is how far ahead a token may expire at most.
	MaxLifetime = 24 * time.Hour
	// MaxText is how long the text of a token is at most, in bytes.
	MaxText = 2048

	// SecretSize is the size of the secret that is derived from a key, in bytes.
	SecretSize = 32
	// IDSize is the size of what names the key, in bytes.
	IDSize = 16

	// purpose separates the secret from all else that may be derived from a key.
	purpose = "keyward.dev/url-token/v1"

	maxProject, maxPath, maxOrigin = 63, 1024, 255
)

// The reasons why there is no token. No error has a part of a key or of a token.
var (
	ErrKey    = errors.New("the key does not have the form of Keyward's own keys, and only these sign URLs")
	ErrToken  = errors.New("the token is not complete, or is not one")
	errClaims = errors.New("the URL cannot be signed")
)

// ID names the key that has signed: the first bytes of the digest of its text, so that whoever has the text knows it.
type ID [IDSize]byte

// IDOf returns the ID of the key with this digest, the SHA-256 of its text.
func IDOf(digest [sha256.Size]byte) ID { return ID(digest[:IDSize]) }

// Claims are what a token is good for.
type Claims struct {
	// Project of the key's Group that the request must belong to, 1 to 63 characters.
	Project string
	// Path that the request must have or be below, such as /videos/intro.mp4, or /videos/ for everything below that. It is
	// compared in whole segments, in the form in which Keyward reads paths.
	Path string
	// Expires is when the token ends, to the second; at most MaxLifetime ahead.
	Expires time.Time
	// Methods that the request may have; none are GET and HEAD.
	Methods []string
	// Origin that the request must come from, such as https://www.acme.example; empty is any that the project allows.
	Origin string
}

// Derive returns the secret that signs URLs. It is derived from the text of a key, so it cannot be found from the digest.
func Derive(key string) ([]byte, error) {
	if !keyformat.WellFormed(key) {
		return nil, ErrKey
	}
	return hkdf.Key(sha256.New, []byte(key), nil, purpose, SecretSize)
}

// Sign returns the token for the claims, in the form that a URL needs. The claims are checked as far as the key's Group need not be
// known. The expiry is rounded down to a second; whether it is too far ahead is for the validation server to say, by its clock.
func Sign(key string, claims Claims) (string, error) {
	secret, err := Derive(key)
	if err != nil {
		return "", err
	}
	payload, err := claims.encode(IDOf(keyformat.DigestOf(key)))
	if err != nil {
		return "", err
	}
	return encoding.EncodeToString(append(payload, sum(secret, payload)...)), nil
}

// Add returns the URL with the token. A token that it has already is replaced.
func Add(url, token string) (string, error) {
	rest, fragment, hasFragment := strings.Cut(url, "#")
	base, query, _ := strings.Cut(rest, "?")
	if token == "" || strings.ContainsFunc(url, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return "", fmt.Errorf("%w: the URL has spaces or control characters, or there is no token", errClaims)
	}
	_, query, _ = Cut(query)
	if query != "" {
		query += "&"
	}
	signed := base + "?" + query + Parameter + "=" + token
	if hasFragment {
		signed += "#" + fragment
	}
	return signed, nil
}

// Cut takes the token out of a query, which is raw and without its '?'. It reports how many there are: with more than one, none
// is good, since readers would choose differently. The rest is as it was sent.
func Cut(rawQuery string) (token, rest string, count int) {
	if !strings.Contains(rawQuery, Parameter+"=") {
		return "", rawQuery, 0
	}
	var kept []string
	for part := range strings.SplitSeq(rawQuery, "&") {
		if value, ok := strings.CutPrefix(part, Parameter+"="); ok {
			token, count = value, count+1
		} else {
			kept = append(kept, part)
		}
	}
	if count != 1 {
		token = ""
	}
	return token, strings.Join(kept, "&"), count
}

// Token is a token that was read, whose signature nobody has checked yet. It prints none of its content.
type Token struct {
	id      ID
	claims  Claims
	payload []byte
	sum     [sha256.Size]byte
}

// ID names the key that claims to have signed.
func (t *Token) ID() ID { return t.id }

// String does not show the token, with which others could use the URL.
func (t *Token) String() string { return "urltoken.Token" }

// GoString does not show the token either.
func (t *Token) GoString() string { return t.String() }

// Verify returns the claims if they were signed with the secret of the key. The comparison takes the same time for any signature.
func (t *Token) Verify(secret []byte) (Claims, bool) {
	if len(secret) != SecretSize || !hmac.Equal(sum(secret, t.payload), t.sum[:]) {
		return Claims{}, false
	}
	return t.claims, true
}

func sum(secret, payload []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(payload)
	return mac.Sum(nil)
}
