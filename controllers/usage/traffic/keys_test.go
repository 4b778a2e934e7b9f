package traffic_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

func refusal(key, code string, requests uint64, at time.Time) *syncv1.KeyRefusal {
	return &syncv1.KeyRefusal{Group: acme, Key: key, Code: code, Requests: requests, FirstMs: at.UnixMilli(), LastMs: at.UnixMilli()}
}

// TestReportKeys: what servers report adds up, and is not counted twice; what is of no group of theirs, or nothing that a server counts, is left out, and what
// is not text that a server writes is not shown.
func TestReportKeys(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	clock := clocktesting.NewFakeClock(now)
	p := traffic.New(clock)
	s := connect(clock, acme)
	report := func(keys ...*syncv1.KeyRefusal) { p.ReportKeys(s, &syncv1.KeyRefusalReport{Keys: keys}) }
	from := func(is *syncv1.KeyRefusal, origin string) *syncv1.KeyRefusal {
		is.Origin = origin
		return is
	}
	other := refusal("k1", "origin_denied", 1, now)
	other.Group = "tenants/other"
	report(
		from(refusal("k1", "origin_denied", 3, now.Add(-time.Hour)), "https://copy.example"),
		from(refusal("k1", "origin_denied", 4, now.Add(time.Hour)), "https://copy.example/path?token=x"), // its clock is ahead
		refusal("k1", "of_a_later_release", 5, now), refusal("k1", "of_a_still_later_one", 1, now),
		refusal("k1", "allowed", 1, now), refusal("k1", "preflight", 1, now), refusal("k1", "rate_limited", 0, now),
		refusal("", "rate_limited", 1, now), refusal(strings.Repeat("k", 33), "rate_limited", 1, now),
		refusal("k1", "key_expired", 1, now.Add(-49*time.Hour)), refusal("k1", "key_revoked", 1, time.UnixMilli(math.MinInt64)), other,
	)
	seen := p.Take(acme)
	want := map[usageseries.KeyCode]usageseries.KeyRefusals{
		{Key: "k1", Code: "origin_denied"}:   {Requests: 7, First: now.Add(-time.Hour), Last: now, Origin: "https://copy.example"},
		{Key: "k1", Code: usageseries.Other}: {Requests: 6, First: now, Last: now},
	}
	if len(seen.Keys) != len(want) {
		t.Errorf("%+v", seen.Keys)
	}
	for of, is := range want {
		got := seen.Keys[of]
		if got.Requests != is.Requests || !got.First.Equal(is.First) || !got.Last.Equal(is.Last) || got.Origin != is.Origin {
			t.Errorf("%v: %+v, want %+v", of, got, is)
		}
	}
	if again, none := p.Take(acme), p.Take("tenants/other"); !again.IsEmpty() || !none.IsEmpty() {
		t.Errorf("%+v is counted twice, and %+v is of a group that the server does not serve", again, none)
	}
	p.GiveBack(acme, seen)
	report(refusal("k1", "origin_denied", 1, now))
	if seen := p.Take(acme); seen.Keys[usageseries.KeyCode{Key: "k1", Code: "origin_denied"}].Requests != 8 {
		t.Errorf("with what was given back: %+v", seen)
	}
}

// TestReportKeysIsBounded: of a group those wait that were refused last, also when other servers report others; of all groups together there is a bound, and what is
// recorded makes room.
func TestReportKeysIsBounded(t *testing.T) {
	now := time.Now()
	clock := clocktesting.NewFakeClock(now)
	p := traffic.New(clock)
	s := connect(clock, acme)
	for i := range 1000 {
		at := now.Add(-time.Duration(i*7919%1000) * time.Minute)
		p.ReportKeys(s, &syncv1.KeyRefusalReport{Keys: []*syncv1.KeyRefusal{refusal(fmt.Sprint("k", i), "rate_limited", math.MaxUint64, at)}})
	}
	seen := p.Take(acme)
	if len(seen.Keys) != usageseries.MaxRefusedKeys {
		t.Errorf("%d keys wait", len(seen.Keys))
	}
	for of, is := range seen.Keys {
		if is.Requests != quotaledger.Max || now.Sub(is.Last) > usageseries.MaxRefusedKeys*time.Minute {
			t.Errorf("%v: %+v", of, is)
		}
	}
	groups := make([]string, 3000)
	for i := range groups {
		groups[i] = fmt.Sprint("tenants/g", i)
	}
	hostile := connect(clock, groups...)
	waiting := func() (sum int) {
		for _, group := range groups {
			sum += len(p.Take(group).Keys)
		}
		return sum
	}
	for range 2 {
		for _, group := range groups {
			report := &syncv1.KeyRefusalReport{}
			for i := range 60 {
				one := refusal(fmt.Sprint("k", i), "rate_limited", 1, now)
				one.Group = group
				report.Keys = append(report.Keys, one)
			}
			p.ReportKeys(hostile, report)
		}
		if sum := waiting(); sum != 100_000 {
			t.Errorf("%d keys of all groups wait", sum)
		}
	}
}

// TestInventedKeys: a server that invents ids of keys displaces nothing of what others report, of no group.
func TestInventedKeys(t *testing.T) {
	now := time.Now()
	clock := clocktesting.NewFakeClock(now)
	p := traffic.New(clock)
	groups := make([]string, 3000)
	for i := range groups {
		groups[i] = fmt.Sprint("tenants/g", i)
	}
	s := connect(clock, append(groups, acme)...)
	p.ReportKeys(s, &syncv1.KeyRefusalReport{Keys: []*syncv1.KeyRefusal{refusal("k1", "origin_denied", 1, now.Add(-time.Hour))}})
	for _, group := range append(groups, acme) {
		report := &syncv1.KeyRefusalReport{}
		for i := range 60 {
			one := refusal(fmt.Sprint("invented", i), "rate_limited", 1, now)
			one.Group = group
			report.Keys = append(report.Keys, one)
		}
		p.ReportKeys(s, report)
	}
	honest := refusal("k2", "key_expired", 1, now.Add(-time.Hour))
	honest.Group = groups[0]
	p.ReportKeys(s, &syncv1.KeyRefusalReport{Keys: []*syncv1.KeyRefusal{honest}})
	if of, other, none := p.Take(acme).Keys, p.Take(groups[0]).Keys, p.Take(groups[1]); len(of) != 1 || len(other) != 1 || !none.IsEmpty() {
		t.Errorf("%d, %d and %d keys are kept", len(of), len(other), len(none.Keys))
	}
}

// TestNoRoomCostsNoWrite: a group of which nothing is kept, because those of others are too many, is not recorded.
func TestNoRoomCostsNoWrite(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	p := traffic.New(clock)
	recorded := make(chan string, 2)
	var first string
	p.Record = func(_ context.Context, group string) error {
		first = cmp.Or(first, group)
		p.Take(group)
		recorded <- group
		return nil
	}
	report := func(s *session.Session, group string, keys int) {
		said := &syncv1.KeyRefusalReport{}
		for i := range keys {
			one := refusal(fmt.Sprint("k", i), "rate_limited", 1, clock.Now())
			one.Group = group
			said.Keys = append(said.Keys, one)
		}
		p.ReportKeys(s, said)
	}
	const last = "tenants/last"
	groups := make([]string, 2000)
	for i := range groups {
		groups[i] = fmt.Sprint("tenants/g", i)
	}
	s := connect(clock, append(groups, acme, last)...)
	for _, group := range groups {
		report(s, group, 50)
	}
	report(s, acme, 1)
	for _, group := range groups {
		p.Take(group)
	}
	clock.Step(time.Second)
	report(s, last, 1)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx) }()
	step(t, clock, recorded)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if first != last {
		t.Errorf("%s is recorded, of which nothing is kept", first)
	}
}

// TestKeysCostNoWrite: keys that are reported just ahead of the traffic that they are a part of are recorded with it, in one write.
func TestKeysCostNoWrite(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	p := traffic.New(clock)
	recorded := make(chan string, 10)
	var seen []usageseries.Traffic
	p.Record = func(_ context.Context, group string) error {
		seen = append(seen, p.Take(group))
		recorded <- group
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx) }()
	s := connect(clock, acme)
	p.ReportKeys(s, &syncv1.KeyRefusalReport{Keys: []*syncv1.KeyRefusal{refusal("k1", "origin_denied", 1, clock.Now())}})
	p.Report(s, report(acme, map[string]uint64{"origin_denied": 1}))
	step(t, clock, recorded)
	clock.Step(time.Hour)
	p.Report(s, report(acme, map[string]uint64{"rate_limited": 1})) // what was there before has been recorded by then
	step(t, clock, recorded)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(seen) != 2 || len(seen[0].Keys) != 1 || seen[0].Refusals["origin_denied"] != 1 || len(seen[1].Keys) != 0 {
		t.Errorf("%+v", seen)
	}
}

// FuzzReportKeys reports all that decodes: nothing of it costs more than its bounds, and all that is shown is within the schema.
func FuzzReportKeys(f *testing.F) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, said := range []*syncv1.KeyRefusal{
		refusal("k1", "origin_denied", 3, now), refusal("k1", "\x00", math.MaxUint64, now.Add(time.Hour)),
		{Group: acme, Key: "k2", Code: "key_expired", Requests: 1, FirstMs: math.MaxInt64, LastMs: math.MinInt64, Origin: "https://a\x00b"},
	} {
		encoded, err := proto.Marshal(&syncv1.KeyRefusalReport{Keys: []*syncv1.KeyRefusal{said, said}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		said := &syncv1.KeyRefusalReport{}
		if proto.Unmarshal(encoded, said) == nil {
			checkShown(t, now, said)
		}
	})
}

type fataler interface {
	Helper()
	Fatalf(format string, arguments ...any)
}

// checkShown reports, records, and checks what is shown.
func checkShown(t fataler, now time.Time, said *syncv1.KeyRefusalReport) {
	t.Helper()
	clock := clocktesting.NewFakeClock(now)
	p := traffic.New(clock)
	p.ReportKeys(connect(clock, acme), said)
	status := &v1alpha1.GroupUsageStatus{}
	usageseries.RecordRefusedKeys(status, now, p.Take(acme).Keys, func(string) (v1alpha1.KeyUsageOwner, bool) {
		return v1alpha1.KeyUsageOwner{Namespace: "tenants", Name: "web"}, true
	})
	for _, is := range status.RefusedKeys {
		if is.KeyID == "" || len(is.KeyID) > 32 || is.Code == "" || len(is.Code) > 64 || is.Requests < 1 || len(is.Origin) > usageseries.MaxOrigin ||
			strings.ContainsAny(is.Origin, "?#\x00@") || is.LastAt.After(now) || is.LastAt.Before(&is.FirstAt) || now.Sub(is.FirstAt.Time) > 96*time.Hour {
			t.Fatalf("shown is %+v", is)
		}
	}
	if encoded, err := json.Marshal(status); err != nil || len(encoded) > 16<<10 || len(status.RefusedKeys) > usageseries.MaxRefusedKeys {
		t.Fatalf("%d bytes of %d keys: %v", len(encoded), len(status.RefusedKeys), err)
	}
}

// TestAnyReportOfKeys: as FuzzReportKeys, with reports that are nearly right.
func TestAnyReportOfKeys(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		said := &syncv1.KeyRefusalReport{}
		for range rapid.IntRange(0, 200).Draw(t, "entries") {
			millis := func(name string) int64 {
				return rapid.OneOf(rapid.Int64(), rapid.Int64Range(now.Add(-96*time.Hour).UnixMilli(), now.Add(time.Hour).UnixMilli())).Draw(t, name)
			}
			said.Keys = append(said.Keys, &syncv1.KeyRefusal{
				Group: rapid.SampledFrom([]string{acme, "", "tenants/other"}).Draw(t, "group"), Key: rapid.StringN(0, 40, 40).Draw(t, "key"),
				Code: rapid.SampledFrom([]string{"origin_denied", "key_expired", "allowed", "", "later"}).Draw(t, "code"), Requests: rapid.Uint64().Draw(t, "requests"),
				FirstMs: millis("first"), LastMs: millis("last"),
				Origin: rapid.SampledFrom([]string{"", "https://a.example", "https://a.example/x?y", "null", strings.Repeat("a", 300)}).Draw(t, "origin"),
			})
		}
		checkShown(t, now, said)
	})
}
