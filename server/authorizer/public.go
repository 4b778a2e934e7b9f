package authorizer

import (
	"time"

	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/decision"
)

// Public counts requests that were allowed without a key, by their group, namespace/name.
type Public interface {
	Public(group string)
}

// publicLimit is how fast requests without a key are allowed, and who counts them.
type publicLimit struct {
	throttle *throttle.Throttle
	counts   Public
}

// WithPublic limits the requests that are allowed without a key, by the address of the client, and has them counted.
func WithPublic(t *throttle.Throttle, counts Public) Option {
	return func(a *Authorizer) { a.public = publicLimit{t, counts} }
}

// limitPublic denies a request without a key if its client sends too many. Clients whose addresses are not known share what one
// client may send to their group. Nothing of a rate limit or a quota of the group is used: strangers must not use up what its
// keys have.
func (i *Integration) limitPublic(request *Request, result *Result, now time.Time) {
	limit := &i.authorizer.public
	var wait time.Duration
	if request.Client.IsValid() {
		wait = limit.throttle.Fail(request.Client, now)
	} else {
		wait = limit.throttle.FailTogether(result.Group.Identity, now)
	}
	switch {
	case wait > 0:
		result.Code, result.RetryAfter = decision.RateLimited, wait
	case limit.counts != nil:
		limit.counts.Public(result.Group.Identity)
	}
}
