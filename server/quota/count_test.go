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
		if got := b.Count("tenants/acme", c.requests, c.bytes, now); got != c.want {
			t.Errorf("%d requests and %d bytes: %t", c.requests, c.bytes, got)
		}
	}
	uses := b.Due(now, false)
	if len(uses) != 1 || uses[0].GetRequests() != mostCounted || uses[0].GetBytes() != mostCounted {
		t.Errorf("counted %v", uses)
	}
}
