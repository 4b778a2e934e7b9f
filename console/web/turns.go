package web

import (
	"context"
	"net/http"
	"sync"

	"github.com/keyward-dev/keyward/console/person"
)

// mostTurnsOfPerson is how many requests of one person are answered at a time at most, and never more than half of all: others are answered
// meanwhile, no matter how long those take.
const mostTurnsOfPerson = 16

// perPerson counts what lasts, by person: no more than most of each.
type perPerson struct {
	most int

	mu sync.Mutex
	of map[string]int
}

func newPerPerson(most int) *perPerson { return &perPerson{most: most, of: map[string]int{}} }

// enter counts one more of a person until leave is called, which does nothing more when it is called again. It returns false if there are too many.
func (p *perPerson) enter(name string) (leave func(), ok bool) {
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

// inTurn lets next answer only so many requests of one person at a time. One that outlasts its turn is not counted from then on.
func (c *console) inTurn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := ""
		if of, ok := person.From(r.Context()); ok {
			name = of.Name
		}
		leave, ok := c.turns.enter(name)
		if !ok {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "Too many of your requests are being answered at the moment. Try again.", http.StatusServiceUnavailable)
			return
		}
		defer leave()
		if whole, ok := r.Context().Value(turnKey{}).(*turn); ok {
			r = r.WithContext(context.WithValue(r.Context(), turnKey{}, &turn{whole.whole, func() { leave(); whole.leave() }}))
		}
		next.ServeHTTP(w, r)
	})
}
