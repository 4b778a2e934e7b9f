package authorizer

import (
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/principal"
)

// WithPrincipals signs what the headers of allowed requests say.
func WithPrincipals(s *principal.Signer) Option { return func(a *Authorizer) { a.principals = s } }

// Principal returns the principal of an allowed request, and "" without a signer. Only integrations ask for it, so that no log
// or recorder gets one.
func (i *Integration) Principal(d *decision.Decision, requestID string) string {
	if i.authorizer.principals == nil || !d.Allowed() {
		return ""
	}
	return i.authorizer.principals.Sign(d, requestID, i.authorizer.now())
}
