package authorizer

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/authorizer/search"
	"github.com/keyward-dev/keyward/server/decision"
)

// hostile is a snapshot of 512 groups that allow one origin and own none of the requests, which is expensive to find out.
type hostile struct {
	everybody

	group  *decision.Group
	groups int // that were searched
}

func (h *hostile) Allowing(from origin.Origin, matches func(*decision.Group) bool) (found, tooMany bool) {
	if from.Host != "acme.com" {
		return false, false
	}
	for range 512 {
		h.groups++
		if matches(h.group) {
			return true, false
		}
	}
	return false, false
}

func hostileGroup(t testing.TB) *decision.Group {
	t.Helper()
	var paths []string
	for i := range 30 {
		paths = append(paths, fmt.Sprintf("/*%sb%d", strings.Repeat("a", 1000), i))
	}
	route, err := routing.Compile(routing.Route{Paths: paths})
	if err != nil {
		t.Fatal(err)
	}
	return &decision.Group{Projects: []decision.Project{{Name: "a", Routes: []routing.Matcher{route}}}}
}

// TestSearchesAreBounded: the number of groups that are searched in a second is bounded, whichever clients send requests that
// are expensive to search for. Without a search, the response is the permissive one. Responses that need no search do not change.
func TestSearchesAreBounded(t *testing.T) {
	const (
		requests = 2000 // in a second
		most     = 600  // searches: as many as a tenth of a processor is enough for, and those of the budget that was left
	)
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	path := "/" + strings.Repeat("a", routing.MaxPath-1)
	for name, ask := range map[string]func(i int) (*Request, decision.Code){
		"preflights": func(int) (*Request, decision.Code) {
			return &Request{Request: decision.Request{Method: "OPTIONS", PreflightMethod: "PUT", Path: path,
				Origin: "https://acme.com"}}, decision.Preflight
		},
		"denials": func(int) (*Request, decision.Code) {
			return &Request{Request: decision.Request{Method: "GET", Path: path, Origin: "https://acme.com"}}, decision.KeyMissing
		},
		"both, of many clients": func(i int) (*Request, decision.Code) {
			r := &Request{Request: decision.Request{Method: "GET", Path: path, Origin: "https://acme.com"},
				Client: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})}
			if i%2 == 0 {
				r.PreflightMethod = "PUT"
				return r, decision.Preflight
			}
			return r, decision.KeyMissing
		},
	} {
		snapshot := &hostile{group: hostileGroup(t)}
		budget := search.New(search.Config{AtOnce: 1, Work: decision.SearchWork, IPv6Prefix: 64}, prometheus.NewRegistry())
		integration := New(snapshot, func() time.Time { return now }, slog.New(slog.DiscardHandler), prometheus.NewRegistry(),
			WithSearches(budget)).Integration("test")
		for i := range requests {
			now = now.Add(time.Second / requests)
			request, code := ask(i)
			got := integration.Decide(t.Context(), request)
			if got.Code != code || !got.OriginAllowed || got.MethodAllowed != (code == decision.Preflight) {
				t.Fatalf("%s, %d: %v, origin %v, method %v", name, i, got.Code, got.OriginAllowed, got.MethodAllowed)
			}
		}
		single := &hostile{group: snapshot.group}
		request, _ := ask(0)
		decision.Decide(single, &request.Request, now)
		// Without a search, one group is found that allows the origin.
		if searches := (snapshot.groups - requests) / single.groups; searches > most || searches < most/10 {
			t.Errorf("%s: some %d searches were made", name, searches)
		}
		request.Origin = "https://evil.example"
		if got := integration.Decide(t.Context(), request); got.OriginAllowed ||
			request.PreflightMethod != "" && got.Code != decision.OriginDenied {
			t.Errorf("%s: an origin that no group allows: %v, %v", name, got.Code, got.OriginAllowed)
		}
	}
}
