package quota

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func (b *Tracker) size() (groups int) {
	b.groups.Range(func(any, any) bool { groups++; return true })
	return groups
}

// TestGroupsAreForgotten when nothing can be reported of them any more; no request is lost that is counted meanwhile.
func TestGroupsAreForgotten(t *testing.T) {
	b := New(prometheus.NewRegistry())
	at := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	for month := range 24 {
		now := at.AddDate(0, month, 0)
		for i := range 100 {
			b.Sent(fmt.Sprintf("tenants/%d-%d", month, i), 1, now)
		}
		b.Sent("tenants/acme", 1, now)
		b.Due(now, false)
		if n := b.size(); n > 201 {
			t.Fatalf("%d groups are kept in month %d", n, month)
		}
		if due := b.Due(now, false); len(due) > 202 {
			t.Fatalf("%d reports are due", len(due))
		}
	}
	var counting sync.WaitGroup
	old, now := at.AddDate(2, 0, 0), at.AddDate(3, 0, 0)
	b.Sent("tenants/busy", 1, old)
	for range 4 {
		counting.Go(func() {
			for range 1000 {
				b.Sent("tenants/busy", 1, now)
				b.Due(now, false)
			}
		})
	}
	counting.Wait()
	if got := b.month("tenants/busy", now).bytes.Load(); got != 4000 {
		t.Errorf("%d of 4000 were counted", got)
	}
}
