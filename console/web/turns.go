package web

import (
	"context"
	"net/http"
	"net/netip"
	"sync"

	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/signin"
)

const (
	// mostTurnsOfPerson is how many requests of one person are answered at a time at most, and never more than half of all: others are answered
	// meanwhile, no matter how long those take.
	mostTurnsOfPerson = 16
	// mostTurnsOfStranger is how many requests without a session are answered at a time of one address at most, and never more than half of all. Many
	// people may share it: such a page takes some milliseconds, and who has signed in is not among them.
	mostTurnsOfStranger = 32
)

// turnsOfStrangers is how many requests without a session are answered at a time at most, from wherever they are: the rest is for people who have one.
func turnsOfStrangers(atOnce int) int { return (3*atOnce + 3) / 4 }

// perOne counts what lasts, by whose it is: no more than most of each.
type perOne[K comparable] struct {
	most int

	mu sync.Mutex
	of map[K]int
}

func newPerOne[K comparable](most int) *perOne[K] { return &perOne[K]{most: most, of: map[K]int{}} }

// enter counts one more of somebody until leave is called, which does nothing more when it is called again. It returns false if there are too many.
func (p *perOne[K]) enter(name K) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[name] >= p.most {
		return nil, false
	}
	p.of[name]++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.of[name]--; p.of[name] == 0 {
			delete(p.of, name)
		}
	}), true
}

// strangers counts requests that nobody is known to have sent.
type strangers struct {
	address func(*http.Request) netip.Addr
	each    *perOne[netip.Addr]
	all     *perOne[struct{}]
}

func newStrangers(config *Config) *strangers {
	return &strangers{config.Address, newPerOne[netip.Addr](min(mostTurnsOfStranger, (config.AtOnce+1)/2)), newPerOne[struct{}](turnsOfStrangers(config.AtOnce))}
}

// enter counts a request until leave is called. If there are too many, it answers.
func (s *strangers) enter(w http.ResponseWriter, r *http.Request) (leave func(), ok bool) {
	one, ok := s.each.enter(signin.Network(s.address(r)))
	if !ok {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "Too many requests from your address are being answered at the moment. Try again.", http.StatusTooManyRequests)
		return nil, false
	}
	all, ok := s.all.enter(struct{}{})
	if !ok {
		one()
		w.Header().Set("Retry-After", "1")
		http.Error(w, "Too many requests are being answered at the moment. Try again.", http.StatusServiceUnavailable)
		return nil, false
	}
	return func() { one(); all() }, true
}

// enterPerson is enter for a request of a person.
func (c *console) enterPerson(w http.ResponseWriter, of *person.Person) (leave func(), ok bool) {
	leave, ok = c.turns.enter(of.Name)
	if !ok {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "Too many of your requests are being answered at the moment. Try again.", http.StatusServiceUnavailable)
	}
	return leave, ok
}

// inTurn lets next answer only so many requests of one person at a time, or of one address and in all without a session. One that outlasts its turn is not
// counted from then on.
func (c *console) inTurn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var leave func()
		of, ok := person.From(r.Context())
		if ok {
			leave, ok = c.enterPerson(w, of)
		} else {
			leave, ok = c.strangers.enter(w, r)
		}
		if !ok {
			return
		}
		defer leave()
		if whole, ok := r.Context().Value(turnKey{}).(*turn); ok {
			r = r.WithContext(context.WithValue(r.Context(), turnKey{}, &turn{whole.whole, func() { leave(); whole.leave() }}))
		}
		next.ServeHTTP(w, r)
	})
}
