package traffic

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// maxRefusedOrigins is how many origins of a group are counted whose requests were refused for them. Clients write what they like there.
	maxRefusedOrigins = 32
	// refusedKept is how long they are kept, unless they are taken.
	refusedKept = 24 * time.Hour
)

// Origin is an origin, as scheme://host, with how many requests were refused for it.
type Origin struct {
	Origin   string
	Requests int64
}

// refusedOrigins has the origins whose requests were refused for them, by group. It is kept in memory only. Its zero value is empty.
type refusedOrigins struct {
	mu     sync.Mutex
	groups map[string]*refusedFrom
}

type refusedFrom struct {
	since   time.Time
	origins map[string]uint64
}

// add adds what a server reports of a group that it serves.
func (r *refusedOrigins) add(clk clock.PassiveClock, said *syncv1.GroupTraffic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, use := range said.GetRefusedOrigins() {
		if !isOrigin(use.GetOrigin()) {
			continue
		}
		of := r.groups[said.GetGroup()]
		if of == nil || clk.Since(of.since) > refusedKept {
			if of == nil && len(r.groups) >= maxGroups {
				return
			}
			if r.groups == nil {
				r.groups = map[string]*refusedFrom{}
			}
			of = &refusedFrom{since: clk.Now(), origins: map[string]uint64{}}
			r.groups[said.GetGroup()] = of
		}
		if was, known := of.origins[use.GetOrigin()]; known || len(of.origins) < maxRefusedOrigins {
			of.origins[use.GetOrigin()] = min(was+min(use.GetRequests(), quotaledger.Max), quotaledger.Max)
		}
	}
}

// RefusedOrigins returns the origins with the most requests of a group that were refused for them, since they were last forgotten, and at
// most for a day; and since the leader leads.
func (p *Pending) RefusedOrigins(group string, most int) []Origin {
	p.refused.mu.Lock()
	defer p.refused.mu.Unlock()
	of := p.refused.groups[group]
	if of == nil {
		return nil
	}
	all := make([]Origin, 0, len(of.origins))
	for text, requests := range of.origins {
		all = append(all, Origin{text, int64(requests)}) //nolint:gosec // at most quotaledger.Max
	}
	slices.SortFunc(all, func(a, b Origin) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Origin, b.Origin))
	})
	return all[:min(most, len(all))]
}

// ForgetRefusedOrigins forgets those of a group.
func (p *Pending) ForgetRefusedOrigins(group string) {
	p.refused.mu.Lock()
	defer p.refused.mu.Unlock()
	delete(p.refused.groups, group)
}
