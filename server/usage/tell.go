package usage

import (
	"cmp"
	"slices"
	"time"
)

// Key is the use of one key, as this server has seen it since it was started.
type Key struct {
	ID    string `json:"keyId"`
	Group string `json:"group"`
	// Period is the month that Requests are of, such as 2026-11; those of earlier months and
	// of other servers are not among them.
	Period     string    `json:"period"`
	Requests   uint64    `json:"requests"`
	LastUsedAt time.Time `json:"lastUsedAt"`
	// Origins are the eight that it was used from most since the server was started, the
	// first first.
	Origins []Origin `json:"origins"`
}

// Origin is one origin that a key was used from.
type Origin struct {
	Origin   string `json:"origin"`
	Requests uint64 `json:"requests"`
	// Error is by how much Requests may be too high.
	Error uint64 `json:"error,omitempty"`
}

// Tell returns the keys that the function wants, those with the most requests first, up to a
// limit, and how many there are in all.
func (r *Recorder) Tell(wants func(id, group string) bool, limit int) (told []Key, all int) {
	r.mu.Lock()
	told = []Key{}
	for _, k := range r.keys {
		if c := k.current.Load(); c != nil && wants(k.id, k.group) {
			told = append(told, Key{
				ID: k.id, Group: k.group, Period: c.period, Requests: c.requests.Load(),
				LastUsedAt: time.UnixMilli(k.lastMillis.Load()).UTC(), Origins: k.origins.Load().tell(),
			})
		}
	}
	r.mu.Unlock()
	slices.SortFunc(told, func(a, b Key) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.ID, b.ID))
	})
	return told[:min(limit, len(told))], len(told)
}

func (o *origins) tell() []Origin {
	told := []Origin{}
	if o == nil {
		return told
	}
	for i := range o.monitored {
		if m := o.monitored[i].Load(); m != nil {
			told = append(told, Origin{m.text, m.requests.Load(), m.error})
		}
	}
	slices.SortFunc(told, func(a, b Origin) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Origin, b.Origin))
	})
	return told
}
