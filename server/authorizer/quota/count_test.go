package quota

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestCountIsBounded: what the manager would not take is not counted, so that it takes the rest.
func TestCountIsBounded(t *testing.T) {
	b, now := New(prometheus.NewRegistry()), time.Now()
	for _, c := range []struct {
		requests, bytes uint64
		want            bool
	}{
		{1, 10, true},
		{mostCounted, 0, false},
		{0, mostCounted - 9, false},
		{mostCounted - 1, mostCounted - 10, true},
		{1, 0, false},
		{0, 1, false},
		{0, 0, true},
	} {
		// The other comes first, and has room: where there is none for both, it is not counted either.
		full, got := b.Count([]Amount{{Group: "tenants/other"}, {"tenants/acme", c.requests, c.bytes}}, now)
		if got != c.want || (full == "tenants/acme") == c.want {
			t.Errorf("%d requests and %d bytes: %t, %q", c.requests, c.bytes, got, full)
		}
	}
	if _, ok := b.Count([]Amount{{"tenants/other", 1, 1}, {"tenants/acme", 1, 1}}, now); ok {
		t.Error("more than can be counted")
	}
	uses := b.Due(now, false) // of the other nothing: not even a part of a list was counted
	if len(uses) != 1 || uses[0].GetRequests() != mostCounted || uses[0].GetBytes() != mostCounted {
		t.Errorf("counted %v", uses)
	}
}
