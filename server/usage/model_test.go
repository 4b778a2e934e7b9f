package usage

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

// model is what a Recorder has to be equal to: plain maps, with everything once for each key.
type model struct {
	keys     map[string]*modelKey
	versions map[modelVersion]*modelUse
	offset   time.Duration
}

type modelKey struct {
	group   string
	last    time.Time
	months  []*modelMonth // the last is the current one
	origins []adminv1.OriginUsage
}

type modelMonth struct {
	period                   string
	requests, sent, recorded uint64
}

type modelVersion struct {
	id     string
	digest keyformat.Digest
}

type modelUse struct {
	last    time.Time
	clients []uint64
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m *model) count(id, group string, requests uint64, at time.Time) *modelKey {
	k := m.keys[id]
	if k == nil {
		k = &modelKey{group: group}
		m.keys[id] = k
	}
	k.last = later(k.last, at)
	now := at.Add(m.offset).UTC().Format("2006-01")
	if n := len(k.months); n == 0 || k.months[n-1].period < now {
		k.months = append(k.months[max(0, n-1):], &modelMonth{period: now})
	}
	k.months[len(k.months)-1].requests += requests
	return k
}

func (k *modelKey) from(text string) {
	at := slices.IndexFunc(k.origins, func(o adminv1.OriginUsage) bool { return o.Origin == text })
	switch {
	case at >= 0:
		k.origins[at].Requests++
	case len(k.origins) < monitored:
		k.origins = append(k.origins, adminv1.OriginUsage{Origin: text, Requests: 1})
	default:
		for i := range k.origins {
			if at < 0 || k.origins[i].Requests < k.origins[at].Requests {
				at = i
			}
		}
		fewest := k.origins[at].Requests
		k.origins[at] = adminv1.OriginUsage{Origin: text, Requests: fewest + 1, Error: fewest}
	}
}

func (m *model) use(v modelVersion, at time.Time, client uint64) {
	u := m.versions[v]
	if u == nil {
		u = &modelUse{}
		m.versions[v] = u
	}
	u.last = later(u.last, at)
	if client != 0 && !slices.Contains(u.clients, client) {
		u.clients = append(u.clients, client)
	}
}

func (m *model) since(instant, now time.Time) []string {
	var reported []string
	forget := now.Add(-forgetAfter)
	for v, u := range m.versions {
		if !u.last.Before(instant) {
			reported = append(reported, fmt.Sprintf("%x %d %v %v", v.digest[:], u.last.UnixMilli(),
				u.clients[:min(maxClients, len(u.clients))], len(u.clients) > maxClients))
		}
		if u.last.Before(forget) {
			delete(m.versions, v)
		}
	}
	for id, k := range m.keys {
		keep := forget.Add(-keepRecorded)
		if slices.ContainsFunc(k.months, func(c *modelMonth) bool { return c.requests != c.recorded }) {
			keep = forget.Add(-keepUnrecorded)
		}
		if k.last.Before(keep) {
			delete(m.keys, id)
		}
	}
	slices.Sort(reported)
	return reported
}

func (m *model) reportCounts(whole bool) []string {
	var reported []string
	for id, k := range m.keys {
		for _, c := range k.months {
			if c.requests != c.recorded && (whole || c.requests != c.sent) {
				c.sent = c.requests
				reported = append(reported, fmt.Sprint(id, k.group, c.period, c.requests, c.recorded))
			}
		}
	}
	slices.Sort(reported)
	return reported
}

func (m *model) report() string {
	reported := []adminv1.KeyUsage{}
	for id, k := range m.keys {
		c := k.months[len(k.months)-1]
		origins := append([]adminv1.OriginUsage{}, k.origins...)
		slices.SortFunc(origins, func(a, b adminv1.OriginUsage) int {
			return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Origin, b.Origin))
		})
		reported = append(reported, adminv1.KeyUsage{KeyID: id, Group: k.group, Period: c.period, Requests: c.requests,
			LastUsedAt: k.last.UTC(), Origins: origins})
	}
	slices.SortFunc(reported, func(a, b adminv1.KeyUsage) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.KeyID, b.KeyID))
	})
	return fmt.Sprint(reported)
}

// TestRecorderEqualsModel compares a recorder with plain maps over histories with few keys, whose ids are of all lengths,
// and instants that are days and months apart, so that keys are forgotten and their records reused.
func TestRecorderEqualsModel(t *testing.T) {
	ids := []string{"k", "k123456789abcdef", "k123456789abcdefg", "k123456789abcdefG", "k123456789abcdefgh", "x123456789abcdefg", strings.Repeat("k", 254), strings.Repeat("k", 255)}
	rapid.Check(t, func(t *rapid.T) {
		r, m := New(), &model{keys: map[string]*modelKey{}, versions: map[modelVersion]*modelUse{}}
		now := start
		draw := func(t *rapid.T) (id, group string) {
			return rapid.SampledFrom(ids).Draw(t, "id"), rapid.SampledFrom([]string{"tenants/acme", "tenants/other",
				"tenants/third"}).Draw(t, "group")
		}
		at := func(t *rapid.T) time.Time {
			return now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "hours ago")) * time.Hour)
		}
		t.Repeat(map[string]func(*rapid.T){
			"use": func(t *rapid.T) {
				id, group := draw(t)
				at, request := at(t), &decision.Request{}
				request.Credential.Digest = keyformat.DigestOf(fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "version"), id))
				clients := []netip.Addr{{}}
				if rapid.Bool().Draw(t, "retiring") {
					clients = nil
					for range rapid.SampledFrom([]int{1, 2, 20}).Draw(t, "clients") {
						clients = append(clients, netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "client")}))
					}
				}
				origins := rapid.SliceOfN(rapid.IntRange(0, 2*monitored), 0, 3*monitored).Draw(t, "origins")
				for i := range max(len(clients), len(origins)) {
					client := clients[i%len(clients)]
					if len(origins) > 0 {
						request.Origin = fmt.Sprintf("https://%d.acme.com", origins[i%len(origins)])
					}
					r.Used(id, &decision.Group{Identity: group}, request, at, client.IsValid(), client)
					k, hashed := m.count(id, group, 1, at), uint64(0)
					if client.IsValid() {
						hashed = hash(request.Credential.Digest, client)
					}
					m.use(modelVersion{id, request.Credential.Digest}, at, hashed)
					if request.Origin != "" {
						k.from(request.Origin)
					}
				}
			},
			"count": func(t *rapid.T) {
				id, group := draw(t)
				at, n := at(t), rapid.Uint64Range(0, 1000).Draw(t, "requests")
				r.Count(id, group, n, at)
				m.count(id, group, n, at)
			},
			"later": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.SampledFrom([]int{1, 23, 25, 24 * 32}).Draw(t, "hours")) * time.Hour)
			},
			"recorded": func(t *rapid.T) {
				id, _ := draw(t)
				m.offset = time.Duration(rapid.IntRange(-48, 48).Draw(t, "offset")) * time.Hour
				persisted := &syncv1.KeysRecorded{NowMs: now.Add(m.offset).UnixMilli()}
				period, all := "2026-11", rapid.Bool().Draw(t, "all")
				if k := m.keys[id]; k != nil {
					period = rapid.SampledFrom(k.months).Draw(t, "month").period
					for _, c := range k.months {
						if c.period == period {
							n := rapid.Uint64Range(0, c.requests+2).Draw(t, "persisted")
							if all {
								n = c.requests
							}
							persisted.Keys = append(persisted.Keys, &syncv1.KeyUse{Key: id, Period: period, Recorded: n})
							c.recorded = max(c.recorded, min(n, c.requests))
						}
					}
				}
				persisted.Keys = append(persisted.Keys, &syncv1.KeyUse{Key: id, Period: "1999-01", Recorded: 7},
					&syncv1.KeyUse{Key: "nobody's", Period: period, Recorded: 7}, &syncv1.KeyUse{Key: id, Period: "some time", Recorded: 7})
				r.Recorded(persisted, now)
			},
			"keys": func(t *rapid.T) {
				whole, got := rapid.Bool().Draw(t, "whole"), []string(nil)
				for u := range r.Keys(whole) {
					got = append(got, fmt.Sprint(u.GetKey(), u.GetGroup(), u.GetPeriod(), u.GetRequests(), u.GetRecorded()))
				}
				slices.Sort(got)
				if want := m.reportCounts(whole); !slices.Equal(got, want) {
					t.Fatalf("reported keys\n%v, want\n%v", got, want)
				}
			},
			"since": func(t *rapid.T) {
				instant, got := at(t), []string(nil)
				for u := range r.Since(instant, now) {
					got = append(got, fmt.Sprintf("%x %d %v %v", u.GetDigest(), u.GetLastMs(), u.GetClients(), u.GetMoreClients()))
				}
				slices.Sort(got)
				if want := m.since(instant, now); !slices.Equal(got, want) {
					t.Fatalf("reported versions\n%v, want\n%v", got, want)
				}
			},
			"": func(t *rapid.T) {
				got, _ := r.Report(func(string, string) bool { return true }, 100)
				if want := m.report(); fmt.Sprint(got) != want {
					t.Fatalf("reported\n%v, want\n%v", got, want)
				}
			},
		})
		checkEmpty(t, r, now)
	})
}

// checkEmpty forgets everything, after which no record may be left.
func checkEmpty(t rapid.TB, r *Recorder, now time.Time) {
	_ = slices.Collect(r.Since(now, now.Add(forgetAfter+keepUnrecorded+time.Second)))
	left := taken(&r.groups.texts.slab) + len(r.groups.texts.numbers) + int(r.origins.Load())
	for i := range r.shards {
		s := &r.shards[i]
		left += taken(&s.keys) + taken(&s.more) + taken(&s.versions) + taken(&s.monitors) + taken(&s.origins.slab) + s.index.used +
			len(s.origins.numbers) + len(s.longIDs) + len(s.before) + len(s.clients)
	}
	if left != 0 {
		t.Fatalf("%d records are left", left)
	}
}

// taken is how many records a slab has that are not free.
func taken[T any](s *slab[T]) int { return int(s.numbers()) - 1 - len(s.free) }
