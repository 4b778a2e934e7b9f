package authorizer

import (
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

// Refusals counts refused requests whose key is known, by the group, namespace/name, of the key.
type Refusals interface {
	Refused(group string, code decision.Code)
	// RefusedOrigin counts a request that was refused for its origin, in addition.
	RefusedOrigin(group string, request *decision.Request)
	// RefusedKey counts a request by its key as well. why is what was wrong with it, also where the client reads that it failed too often.
	RefusedKey(group, keyID string, why decision.Code, request *decision.Request, at time.Time)
}

// WithRefusals has refused requests counted.
func WithRefusals(r Refusals) Option { return func(a *Authorizer) { a.refusals = r } }

// refused counts a refused request. A request without a known key is nobody's: a stranger does not write into what a Group reads.
func (i *Integration) refused(request *Request, result *Result, why decision.Code, now time.Time) {
	if i.authorizer.refusals != nil && result.Key.ID != "" && result.Code != decision.Preflight {
		i.authorizer.refusals.Refused(result.Group.Identity, result.Code)
		if result.Code == decision.OriginDenied {
			i.authorizer.refusals.RefusedOrigin(result.Group.Identity, &request.Request)
		}
		i.authorizer.refusals.RefusedKey(result.Group.Identity, result.Key.ID, why, &request.Request, now)
	}
}
