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

// turns counts the requests that are being answered, by person.
type turns struct {
	most int

	mu sync.Mutex
	of map[string]int
}

func newTurns(atOnce int) *turns {
	return &turns{most: min(mostTurnsOfPerson, (atOnce+1)/2), of: map[string]int{}}
}

// enter counts a request of a person until leave is called, which does nothing more when it is called again. It returns false if there are too many.
func (t *turns) enter(name string) (leave func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[name] >= t.most {
		return nil, false
	}
	t.of[name]++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.of[name]--; t.of[name] == 0 {
			delete(t.of, name)
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
