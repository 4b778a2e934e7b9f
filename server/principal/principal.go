// Package principal signs what the headers of an allowed request say, so that content servers can tell what Keyward has decided
// from what somebody between the two has written. A principal is a JWS in compact form (RFC 7515) with EdDSA (RFC 8037), whose
// payload is the claims of a JWT (RFC 7519).
package principal

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// Type is the header typ of a principal. It makes a principal no other kind of JWT (RFC 8725, section 3.11).
	Type = "keyward-principal+jwt"

	algorithm = "EdDSA"

	// lifetime is how long a principal is valid. A request arrives within it, and its claims are not checked afterwards.
	lifetime = time.Minute
)

// claims are what a principal says. The registered ones come first.
type claims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	Subject   string `json:"sub"` // the key's id
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
	ID        string `json:"jti"` // the request's id

	Group       string            `json:"group"` // namespace/name
	GroupName   string            `json:"groupName,omitempty"`
	Tier        string            `json:"tier,omitempty"`
	Project     string            `json:"project"`
	Permissions []string          `json:"permissions"`
	Context     map[string]string `json:"context,omitempty"`
	Sealed      map[string]string `json:"sealed,omitempty"`
}

// Sign returns the principal of an allowed request as of now.
func (s *Signer) Sign(d *decision.Decision, requestID string, now time.Time) string {
	issued := now.Unix()
	payload, err := json.Marshal(claims{
		Issuer: s.config.Issuer, Audience: s.config.Audience, Subject: d.Key.ID,
		IssuedAt: issued, ExpiresAt: issued + int64(lifetime/time.Second), ID: requestID,
		Group: d.Group.Identity, GroupName: d.Group.DisplayName, Tier: d.Group.Tier, Project: d.Project.Name,
		Permissions: d.Key.Scope.Permissions, Context: contextOf(d), Sealed: sealedOf(d.Group),
	})
	if err != nil { // it has only texts and numbers
		return ""
	}
	return s.ring.Load().signing.sign(payload)
}

// contextOf returns the values that headers have: of names that differ in case only, the first one with a value.
func contextOf(d *decision.Decision) map[string]string {
	if len(d.Group.Context) == 0 && len(d.Key.Scope.Context) == 0 {
		return nil
	}
	values := make(map[string]string, len(d.Group.Context)+len(d.Key.Scope.Context))
	for value := range d.ContextValues {
		if value.Value != "" && !has(values, value.Name) {
			values[value.Name] = value.Value
		}
	}
	return values
}

// sealedOf returns the sealed values as they are: only content servers can open them.
func sealedOf(group *decision.Group) map[string]string {
	if len(group.Sealed) == 0 {
		return nil
	}
	values := make(map[string]string, len(group.Sealed))
	for i := range group.Sealed {
		values[group.Sealed[i].Name] = group.Sealed[i].Value
	}
	return values
}

func has(values map[string]string, name string) bool {
	for other := range values {
		if strings.EqualFold(other, name) {
			return true
		}
	}
	return false
}

// sign returns the JWS of a payload.
func (k *key) sign(payload []byte) string {
	size := len(k.header) + encoding.EncodedLen(len(payload)) + 1 + encoding.EncodedLen(ed25519.SignatureSize)
	token := append(make([]byte, 0, size), k.header...)
	token = encoding.AppendEncode(token, payload)
	signature := ed25519.Sign(k.private, token)
	token = encoding.AppendEncode(append(token, '.'), signature)
	return string(token)
}
