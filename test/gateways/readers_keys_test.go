package gateways

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
)

// newKeyComparison has keys in the parameters that readers report.
func newKeyComparison(t testing.TB, readers []*contentReader) *comparison {
	t.Helper()
	return newComparison(t, readers, authorizer.WithKeys(credential.New(credential.Config{Parameters: []string{"siteId", "tenant_id"}})))
}

// withKey has the key in the place of values.
func (s *spelling) withKey(key string) {
	s.Target = strings.NewReplacer("42", key, "43", key).Replace(s.Target)
}

// keysSeen sends a request to a gateway, and returns which readers find the key in a parameter, if the request arrives.
func (c *comparison) keysSeen(ctx context.Context, gateway *pool, s *spelling) (passed bool, seen []string, err error) {
	if _, err := gateway.roundTrip(ctx, s.raw(c.key), s.method()); err != nil && !errors.Is(err, errRefused) {
		return false, nil, fmt.Errorf("%s: %w", gateway.address, err)
	}
	var a arrived
	select {
	case a = <-c.arrived:
	default:
		return false, nil, nil
	}
	for _, r := range c.readers {
		read, err := r.read(ctx, a.raw, a.method)
		switch {
		case errors.Is(err, errRefused):
		case err != nil:
			return true, nil, fmt.Errorf("%s: %w", r.name, err)
		case strings.Contains(strings.ToLower(fmt.Sprint(read.Params)), strings.ToLower(c.key)):
			seen = append(seen, r.name)
		}
	}
	return true, seen, nil
}

// TestReadersSeeNoKey: no content server finds a key in the parameter, however its name is spelled.
func TestReadersSeeNoKey(t *testing.T) {
	readers := startReaders(t)
	defer stillThere(t, readers)
	for _, g := range append([]gateway{own}, gateways...) {
		t.Run(g.name, func(t *testing.T) {
			c := newKeyComparison(t, readers)
			front := &pool{address: g.start(t, c.world)}
			t.Cleanup(front.close)
			waitFor(t, front.address)
			check := func(ctx context.Context, s spelling) (bool, error) {
				s.withKey(c.key)
				passed, seen, err := c.keysSeen(ctx, front, &s)
				if len(seen) > 0 {
					err = fmt.Errorf("%q: %v find the key", strings.ReplaceAll(string(s.raw("")), c.key, "{key}"), seen)
				}
				return passed, err
			}
			for _, s := range corpus(t) {
				if _, err := check(t.Context(), s); err != nil {
					t.Errorf("%s: %v", s.Name, err)
				}
			}
			passed := 0
			rapid.Check(t, func(rt *rapid.T) {
				got, err := check(t.Context(), spelled(rt))
				if err != nil {
					rt.Fatal(err)
				}
				if got {
					passed++
				}
			})
			if passed == 0 {
				t.Error("no request was allowed: nothing was read")
			}
			t.Log(passed, "generated requests were allowed, and read")
		})
	}
}

// TestReadersSeeNoKeyBeyondItsName has every pair of parts in front of the name, behind it, and around it.
func TestReadersSeeNoKeyBeyondItsName(t *testing.T) {
	readers := startReaders(t)
	defer stillThere(t, readers)
	c := newKeyComparison(t, readers)
	front := &pool{address: own.start(t, c.world)}
	t.Cleanup(front.close)
	waitFor(t, front.address)
	sent, read := 0, 0
	for _, one := range nameParts {
		for _, other := range nameParts {
			for _, name := range []string{one + other + "siteId", "siteId" + one + other, one + "siteId" + other} {
				s := spelling{Target: "/x?" + name + "=42"}
				s.withKey(c.key)
				passed, seen, err := c.keysSeen(t.Context(), front, &s)
				if err != nil || len(seen) > 0 {
					t.Errorf("%q: %v find the key, %v", name, seen, err)
				}
				sent++
				if passed {
					read++
				}
			}
		}
	}
	if read == 0 {
		t.Error("no request was allowed: nothing was read")
	}
	t.Log(read, "of", sent, "requests were allowed, and read")
}

// FuzzReadersSeeNoKey looks for unknown spellings of the parameter.
func FuzzReadersSeeNoKey(f *testing.F) {
	for _, query := range []string{"siteId=42", "siteId=42&a=b", "%73iteId=42", "siteId[]=42", "a;siteId=42", "tenant.id=42", "a=42", "+siteId=42"} {
		f.Add(query)
	}
	c := newKeyComparison(f, startReaders(f))
	front := &pool{address: startProxy(f, c.world)}
	f.Cleanup(front.close)
	f.Fuzz(func(t *testing.T, query string) {
		if strings.ContainsAny(query, "\r\n ") || len(query) > 4<<10 {
			return
		}
		s := spelling{Target: "/x?" + query}
		s.withKey(c.key)
		if _, seen, err := c.keysSeen(t.Context(), front, &s); err != nil || len(seen) > 0 {
			t.Fatalf("%q: %v find the key, %v", query, seen, err)
		}
	})
}
