package quota

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestCountIsBounded: usage that the manager would refuse is not counted, so that it accepts the rest.
func TestCountIsBounded(t *testing.T) {
	b, now := New(prometheus.NewRegistry()), time.Now()
	for _, c := range []struct {
		requests, bytes uint64
		want            bool
	}{
		{1, 10, true},
		{maxCounted, 0, false},
		{0, maxCounted - 9, false},
		{maxCounted - 1, maxCounted - 10, true},
		{1, 0, false},
		{0, 1, false},
		{0, 0, true},
	} {
		// The other group comes first, and has room: if there is no room for both, it is not counted either.
		full, got := b.Count([]Amount{{Group: "tenants/other"}, {"tenants/acme", c.requests, c.bytes}}, now)
		if got != c.want || (full == "tenants/acme") == c.want {
			t.Errorf("%d requests and %d bytes: %t, %q", c.requests, c.bytes, got, full)
		}
	}
	if _, ok := b.Count([]Amount{{"tenants/other", 1, 1}, {"tenants/acme", 1, 1}}, now); ok {
		t.Error("more than can be counted")
	}
	uses := b.Due(now, false) // the other group has no use: no part of a refused list was counted
	if len(uses) != 1 || uses[0].GetRequests() != maxCounted || uses[0].GetBytes() != maxCounted {
		t.Errorf("counted %v", uses)
	}
}
