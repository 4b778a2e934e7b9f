// Package person says for whom the console acts. The console has no right of its own over keys: all that a request reads or changes is read and
// changed as the person who sent it.
package person

import (
	"context"
	"time"

	"k8s.io/client-go/rest"
)

// Person is whom a request is done for.
type Person struct {
	// Name and Groups are those that the API server knows the person by.
	Name   string
	Groups []string
	// Session identifies the sign-in. It is no secret, and in no log either.
	Session string
	// Until is when the sign-in ends; the zero time: it has no end.
	Until time.Time

	// config returns how to reach the API server as the person. It is a function, since what it returns holds a credential: whoever logs a
	// Person logs none.
	config func() *rest.Config
}

// New returns a person whose requests to the API server are made with config, which is copied.
func New(name string, groups []string, config *rest.Config) *Person {
	own := rest.CopyConfig(config)
	return &Person{Name: name, Groups: groups, config: func() *rest.Config { return rest.CopyConfig(own) }}
}

// Config returns how to reach the API server as the person.
func (p *Person) Config() *rest.Config { return p.config() }

type key struct{}

// With returns a context of a request of a person.
func With(ctx context.Context, of *Person) context.Context { return context.WithValue(ctx, key{}, of) }

// From returns whom the request of this context is done for, or false if nobody has signed in.
func From(ctx context.Context) (*Person, bool) {
	of, ok := ctx.Value(key{}).(*Person)
	return of, ok && of != nil
}
