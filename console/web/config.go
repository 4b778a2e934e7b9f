package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/console/csrf"
	"github.com/keyward-dev/keyward/console/headers"
	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/signin"
)

// Defaults of Config.
const (
	DefaultAtOnce  = 128
	DefaultTimeout = 20 * time.Second
)

// Config is what the console needs. All fields are required that do not say otherwise.
type Config struct {
	// Desk returns what does everything as a person.
	Desk     func(*person.Person) (Desk, error)
	Ring     *keyring.Ring
	Now      func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer // optional
	// LogSignIns has the log say who signs in, with name and address, and what became of it. Otherwise it has nothing of a person.
	LogSignIns  bool
	Revocations session.Revocations
	// Reach returns how to reach the API server as the person whom a sign-in is of.
	Reach func(session.Claims) (*rest.Config, error)
	// Origins are those that browsers reach the console at, such as https://console.example.
	Origins []string
	// Address returns where a request comes from, for the bounds of sign-ins and of requests without a session; the zero Addr if that is not known.
	Address func(*http.Request) netip.Addr
	// Verify returns whom a pasted token is of, or an error that wraps *SignInError if it is not accepted. Optional with Entry.
	Verify func(ctx context.Context, token string) (session.Claims, error)
	// Provider signs people in who come back from it. Optional.
	Provider Provider
	// ServiceAccounts says that Verify accepts their tokens.
	ServiceAccounts bool
	// Entry returns whom a link with a secret signs in, once. It is for a console on the machine of a person, which has no other sign-in. Optional.
	Entry func(secret string) (session.Claims, bool)
	// Loopback is for a console on plain HTTP to the machine itself: it is served to the hosts of Origins only. Browsers reach all others by HTTPS
	// alone, also where a proxy ends it.
	Loopback bool
	// AtOnce is how many requests are served at the same time, others get 503; default: DefaultAtOnce.
	AtOnce int
	// Timeout is how long a request may take; default: DefaultTimeout.
	Timeout time.Duration
}

// SignInError says to a person why a sign-in was not accepted. It has nothing of the credential.
type SignInError struct{ Text string }

// Error implements error.
func (e *SignInError) Error() string { return e.Text }

// ErrNotBegun is the error of a sign-in that this browser has not begun, or that is over.
var ErrNotBegun = errors.New("this sign-in was not begun in this browser, or it took too long, or it is over")

// Provider signs people in at another site, such as an OpenID Connect provider.
type Provider interface {
	// Name is shown to people.
	Name() string
	// Begin returns the address that the browser is sent to. It may set a cookie.
	Begin(w http.ResponseWriter, r *http.Request, next string) (address string, err error)
	// End returns who has come back, and the path that Begin had as next. It returns an error that wraps *SignInError if that is nobody who may sign
	// in, and ErrNotBegun before anything is asked of anybody.
	End(w http.ResponseWriter, r *http.Request) (of session.Claims, next string, err error)
}

// console serves the pages.
type console struct {
	config    Config
	sessions  *session.Sessions
	guard     *csrf.Guard
	limiter   *signin.Limiter
	signIns   *signIns
	turns     *perOne[string] // by person
	strangers *strangers
	streams   *streams
	mux       *http.ServeMux
	routes    []string
}

// Pages serves all pages.
type Pages struct {
	http.Handler
	routes  []string
	streams *streams
}

// EndStreams ends what would last longer than a request, so that a server can shut down.
func (p *Pages) EndStreams() { p.streams.end() }

// Routes returns the patterns that are served, each with its method but for assets, so that tests can hold that they know all of them.
func (p *Pages) Routes() []string { return slices.Clone(p.routes) }

// handle serves a pattern.
func (c *console) handle(pattern string, handler http.Handler) {
	c.mux.Handle(pattern, handler)
	c.routes = append(c.routes, pattern)
}

// New returns the handler of all pages. It is an error if something required is missing.
func New(config Config) (*Pages, error) {
	if config.Desk == nil || config.Log == nil || config.Address == nil || config.Verify == nil && config.Entry == nil {
		return nil, errors.New("web: Desk, Log, Address, and one of Verify and Entry are required")
	}
	if config.AtOnce <= 0 {
		config.AtOnce = DefaultAtOnce
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	c := &console{config: config, mux: http.NewServeMux(), turns: newPerOne[string](min(mostTurnsOfPerson, (config.AtOnce+1)/2))}
	c.strangers = newStrangers(&config)
	var err error
	c.sessions, err = session.New(session.Config{
		Ring: config.Ring, Now: config.Now, Revocations: config.Revocations, Reach: config.Reach, Loopback: config.Loopback,
		Member: c.member, Ended: c.ended, Refused: c.refused,
	})
	if err != nil {
		return nil, err
	}
	c.guard, err = csrf.New(csrf.Config{
		Ring: config.Ring, Now: config.Now, Origins: config.Origins, Loopback: config.Loopback,
		Session: sessionOf, Stale: c.stale, Secrets: secretFields,
	})
	if err != nil {
		return nil, err
	}
	c.limiter = signin.NewLimiter(config.Now)
	if c.signIns, err = newSignIns(&config); err != nil {
		return nil, err
	}
	if c.streams, err = newStreams(config.Registry); err != nil {
		return nil, err
	}
	c.handle(page.Prefix, page.Assets())
	c.routeSignIn()
	c.routeGroups()
	c.routeKeys()
	c.routeRequests()
	c.routeAsk()
	c.routePlatform()
	handler, err := c.around(c.mux)
	return &Pages{Handler: handler, routes: c.routes, streams: c.streams}, err
}

// secretFields are the fields of forms that are never shown again.
var secretFields = []string{"token"}

// sessionOf returns what the tokens of forms are bound to.
func sessionOf(r *http.Request) string {
	if of, ok := person.From(r.Context()); ok {
		return of.Session
	}
	return ""
}

// around has what concerns every response: headers, a bound of requests at a time, a deadline, pages for errors, the log and metrics.
func (c *console) around(inner http.Handler) (http.Handler, error) {
	served := inner
	if c.config.Loopback {
		var hosts []string
		for _, origin := range c.config.Origins {
			u, err := url.Parse(origin)
			if err != nil {
				return nil, err
			}
			hosts = append(hosts, u.Host)
		}
		served = csrf.OnlyHosts(hosts, served)
	}
	served = bound(c.config.AtOnce, c.config.Timeout, served)
	served, err := headers.Set(headers.Config{TLS: !c.config.Loopback}, c.errorPages(served))
	if err != nil {
		return nil, err
	}
	return c.observe(served)
}
