package authorizer

import "github.com/keyward-dev/keyward/server/decision"

// Refusals counts refused requests whose key is known, by the group, namespace/name, of the key.
type Refusals interface {
	Refused(group string, code decision.Code)
	// RefusedOrigin counts a request that was refused for its origin, in addition.
	RefusedOrigin(group string, request *decision.Request)
}

// WithRefusals has refused requests counted.
func WithRefusals(r Refusals) Option { return func(a *Authorizer) { a.refusals = r } }

// refused counts a refused request. A request without a known key is nobody's: a stranger does not write into what a Group reads.
func (i *Integration) refused(request *Request, result *Result) {
	if i.authorizer.refusals != nil && result.Key.ID != "" && result.Code != decision.Preflight {
		i.authorizer.refusals.Refused(result.Group.Identity, result.Code)
		if result.Code == decision.OriginDenied {
			i.authorizer.refusals.RefusedOrigin(result.Group.Identity, &request.Request)
		}
	}
}
