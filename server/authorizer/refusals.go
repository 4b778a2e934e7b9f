package authorizer

import "github.com/keyward-dev/keyward/server/decision"

// Refusals counts refused requests whose key is known, by the group, namespace/name, of the key.
type Refusals interface {
	Refused(group string, code decision.Code)
}

// WithRefusals has refused requests counted.
func WithRefusals(r Refusals) Option { return func(a *Authorizer) { a.refusals = r } }

// refused counts a refused request. A request without a known key is nobody's: a stranger does not write into what a Group reads.
func (i *Integration) refused(result *Result) {
	if i.authorizer.refusals != nil && result.Key.ID != "" && result.Code != decision.Preflight {
		i.authorizer.refusals.Refused(result.Group.Identity, result.Code)
	}
}
