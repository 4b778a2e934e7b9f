package usageapi

import (
	"context"
	"crypto/sha256"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// requestsAtOnce is how many requests are processed at the same time.
	requestsAtOnce = 16
	// A user may send this many requests at once, and so many per second.
	userBurst, userPerSecond = 40, 20
	// An address may have this many refused tokens at once, and one more every two seconds. IPv6 addresses count by /64.
	failuresAtOnce = 30
	failureEvery   = 2 * time.Second
	ipv6Prefix     = 64
	// reviewedFor is how long the review of a token is valid. maxReviews is how many are kept, and maxLimiters how many users, or
	// addresses, are limited separately; the others share one limit.
	reviewedFor = 10 * time.Second
	maxReviews  = 1024
	maxLimiters = 1024
	maxToken    = 16 << 10
)

// user is who sends a request.
type user = authenticationv1.UserInfo

type token [sha256.Size]byte

// review is what the API server has said of a token: nil is that it is not valid.
type review struct {
	user *user
	at   time.Time
}

// access asks the API server who sends a request, and what they may read; and bounds what that costs.
//
// mu guards the reviews, of which there are at most maxReviews, and is not held while the API server is asked.
type access struct {
	client client.Client
	clock  clock.PassiveClock
	slots  chan struct{}

	users, failures *limiters

	mu      sync.Mutex
	reviews map[token]review
}

func newAccess(c client.Client, clk clock.PassiveClock) *access {
	return &access{
		client: c, clock: clk, slots: make(chan struct{}, requestsAtOnce), reviews: map[token]review{},
		users:    newLimiters(rate.Limit(userPerSecond), userBurst),
		failures: newLimiters(rate.Every(failureEvery), failuresAtOnce),
	}
}

// enter takes a slot for a request, if one is free. The caller releases it.
func (a *access) enter() (release func(), failed *problem) {
	select {
	case a.slots <- struct{}{}:
		return func() { <-a.slots }, nil
	default:
		return nil, problemf(http.StatusServiceUnavailable, "other requests are being processed; try again later")
	}
}

var errToken = problemf(http.StatusUnauthorized,
	"send Authorization: Bearer and a token of this cluster, such as that of kubectl create token")

// authenticate returns the user whose token the request has.
func (a *access) authenticate(r *http.Request) (*user, *problem) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || text == "" || len(text) > maxToken || len(r.Header.Values("Authorization")) != 1 {
		return nil, errToken
	}
	t, from := token(sha256.Sum256([]byte(text))), addressOf(r.RemoteAddr)
	now := a.clock.Now()
	known, fresh := a.known(t, now)
	switch {
	case fresh && known == nil:
		a.failures.allow(from, now)
		return nil, errToken
	case !fresh && !a.failures.left(from, now):
		return nil, problemf(http.StatusTooManyRequests, "too many tokens from this address were refused; try again in some seconds")
	case !fresh:
		asked := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: text}}
		if err := a.client.Create(r.Context(), asked); err != nil {
			return nil, problemf(http.StatusServiceUnavailable, "the token cannot be reviewed at present; try again later")
		}
		if asked.Status.Authenticated {
			known = &asked.Status.User
		}
		a.remember(t, review{known, now})
		if known == nil {
			a.failures.allow(from, now)
			return nil, errToken
		}
	}
	if !a.users.allow(known.Username, now) {
		return nil, problemf(http.StatusTooManyRequests, "at most %d requests per second; try again later", userPerSecond)
	}
	return known, nil
}

func (a *access) known(t token, now time.Time) (known *user, fresh bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.reviews[t]
	return r.user, ok && now.Sub(r.at) < reviewedFor
}

func (a *access) remember(t token, r review) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for other, is := range a.reviews {
		if len(a.reviews) < maxReviews {
			break
		}
		// Those that are over first; strangers must not evict those of users.
		if r.at.Sub(is.at) >= reviewedFor || is.user == nil {
			delete(a.reviews, other)
		}
	}
	if len(a.reviews) < maxReviews || r.user != nil {
		a.reviews[t] = r
	}
	for other := range a.reviews {
		if len(a.reviews) <= maxReviews {
			break
		}
		delete(a.reviews, other)
	}
}

// authorize asks whether the user may get an object of ours.
func (a *access) authorize(ctx context.Context, of *user, resource string, name types.NamespacedName) *problem {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range of.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	asked := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: of.Username, UID: of.UID, Groups: of.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
			Resource: resource, Verb: "get", Namespace: name.Namespace, Name: name.Name,
		},
	}}
	if err := a.client.Create(ctx, asked); err != nil {
		return problemf(http.StatusServiceUnavailable, "access cannot be reviewed at present; try again later")
	}
	if !asked.Status.Allowed {
		return problemf(http.StatusForbidden, "%s may not get %s.%s %s; bind it to a role with this verb in the namespace, such as view",
			of.Username, resource, v1alpha1.GroupVersion.Group, name)
	}
	return nil
}

// limiters has a limit for each name.
//
// mu guards the map, which has at most maxLimiters entries.
type limiters struct {
	limit rate.Limit
	burst int

	mu     sync.Mutex
	each   map[string]*rate.Limiter
	others *rate.Limiter
}

func newLimiters(limit rate.Limit, burst int) *limiters {
	return &limiters{limit: limit, burst: burst, each: map[string]*rate.Limiter{}, others: rate.NewLimiter(limit, burst)}
}

// allow takes one from the limit of a name, and reports whether there was one.
func (l *limiters) allow(name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(name, now).AllowN(now, 1)
}

// left reports whether the limit of a name has one left.
func (l *limiters) left(name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(name, now).TokensAt(now) >= 1
}

// of returns the limit of a name. Those of names that have sent nothing lately make room. The caller holds the lock.
func (l *limiters) of(name string, now time.Time) *rate.Limiter {
	if known := l.each[name]; known != nil {
		return known
	}
	if len(l.each) >= maxLimiters {
		maps.DeleteFunc(l.each, func(_ string, other *rate.Limiter) bool { return other.TokensAt(now) >= float64(l.burst) })
		if len(l.each) >= maxLimiters {
			return l.others
		}
	}
	l.each[name] = rate.NewLimiter(l.limit, l.burst)
	return l.each[name]
}

// addressOf is the address that a request comes from; of IPv6 its network.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	if address = address.Unmap().WithZone(""); address.Is6() {
		prefix, _ := address.Prefix(ipv6Prefix) // bits are in range
		return prefix.String()
	}
	return address.String()
}
