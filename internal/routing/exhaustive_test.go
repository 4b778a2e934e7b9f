//go:build !race

// The race detector would make this ten times as slow, and has nothing to find in pure functions.

package routing

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTiesAgreesWithMatch tries every request of a small world: two routes tie exactly if
// one of these requests does.
func TestTiesAgreesWithMatch(t *testing.T) {
	requests := smallWorld()
	rapid.Check(t, func(t *rapid.T) {
		a, errA := Compile(drawRoute(t, "a"))
		b, errB := Compile(drawRoute(t, "b"))
		if errA != nil || errB != nil {
			return
		}
		ties := Ties(&a, &b)
		for i := range requests {
			rankA, ok := a.Match(&requests[i])
			if !ok {
				continue // which spares most of a million
			}
			if rankB, ok := b.Match(&requests[i]); ok && rankA == rankB {
				if !ties {
					t.Fatalf("they tie on %+v", requests[i])
				}
				return
			}
		}
		if ties {
			t.Fatal("they tie on no request")
		}
	})
}

// smallWorld has a request for every difference between routes of drawRoute.
func smallWorld() []Request {
	segments := []string{"a", "b", "ab", "c", "acb", "a.b", "c.b", "a.c", "a.c.b"}
	paths := []string{"/"}
	level := []string{""}
	for range 4 {
		var next []string
		for _, parent := range level {
			for _, segment := range segments {
				next = append(next, parent+"/"+segment)
			}
		}
		paths, level = append(paths, next...), next
		for _, path := range next {
			paths = append(paths, path+"/")
		}
	}
	var all []Request
	for _, method := range []string{"GET", "POST"} {
		for _, host := range []string{"a.x", "b.x", "c.x", "a.a.x", "b.a.x", "y"} {
			for _, query := range []string{"", "p=1", "p=2", "q=1", "q=2", "p=1&q=1", "p=1&q=2", "p=2&q=1", "p=2&q=2"} {
				for _, path := range paths {
					all = append(all, Request{Method: method, Host: host, Path: path, RawQuery: query})
				}
			}
		}
	}
	return all
}
