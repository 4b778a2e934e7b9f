package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// kept is a real API server with a Group, and the store of a leader.
type kept struct {
	*testing.T

	admin    client.Client
	objects  *store.Objects
	clock    *clocktesting.FakePassiveClock
	recorder *events.FakeRecorder
	key      store.Key
}

func keep(t *testing.T, admin client.Client, name string) *kept {
	k := &kept{
		T: t, admin: admin, clock: clocktesting.NewFakePassiveClock(this.Begin().Add(36 * time.Hour)), recorder: events.NewFakeRecorder(10),
		key: store.Key{Group: "default/" + name, Period: this},
	}
	k.createGroup()
	k.replaceLeader()
	return k
}

// replaceLeader forgets what a leader had in memory.
func (k *kept) replaceLeader() {
	k.objects = &store.Objects{Client: k.admin, Reader: k.admin, Groups: k.admin, Clock: k.clock, Recorder: k.recorder}
}

func (k *kept) name() client.ObjectKey {
	_, name, _ := strings.Cut(k.key.Group, "/")
	return client.ObjectKey{Namespace: "default", Name: name}
}

func (k *kept) createGroup() *v1alpha1.Group {
	k.Helper()
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: k.name().Name}}
	if err := k.admin.Create(k.Context(), group); err != nil {
		k.Fatal(err)
	}
	return group
}

func (k *kept) group() *v1alpha1.Group {
	k.Helper()
	group := &v1alpha1.Group{}
	if err := k.admin.Get(k.Context(), k.name(), group); err != nil {
		k.Fatal(err)
	}
	return group
}

func (k *kept) usage() *v1alpha1.GroupUsage {
	k.Helper()
	usage := &v1alpha1.GroupUsage{}
	if err := k.admin.Get(k.Context(), k.name(), usage); err != nil {
		k.Fatal(err)
	}
	return usage
}

func (k *kept) deleteUsage() {
	k.Helper()
	if err := k.admin.Delete(k.Context(), k.usage()); err != nil {
		k.Fatal(err)
	}
}

// save saves a ledger in which a server that ended has counted so many requests, and one that runs holds a lease.
func (k *kept) save(entry store.Entry, requests uint64) store.Entry {
	k.Helper()
	entry.Ledger = entry.Ledger.Clone()
	entry.Ledger.Servers = map[string]quotaledger.Counters{
		"ended/A": {Requests: requests - 10, Spent: requests - 10, Leased: requests - 10, Sequence: 2, Bytes: 2 * requests, Closed: true},
		"runs/B":  {Requests: 10, Spent: 10, Leased: 40, Sequence: 3},
	}
	total := entry.Ledger.Total()
	version, err := k.objects.Save(k.Context(), k.key, entry, store.Totals{Requests: total.Requests, Bytes: total.Bytes})
	if err != nil {
		k.Fatal(err)
	}
	entry.Version = version
	return entry
}

func (k *kept) event() string {
	select {
	case event := <-k.recorder.Events:
		return event
	default:
		return ""
	}
}

// TestObjects: what a GroupUsage has, and whose it is, regardless of what happens to it and to its Group.
func TestObjects(t *testing.T) {
	admin := startAPI(t)
	t.Run("series", func(t *testing.T) { series(keep(t, admin, "series")) })
	t.Run("deleted while a leader knows", func(t *testing.T) { deletedWhileKnown(keep(t, admin, "known")) })
	t.Run("deleted while nobody knows", func(t *testing.T) { deletedWhileUnknown(keep(t, admin, "unknown")) })
	t.Run("group created again", func(t *testing.T) { createdAgain(keep(t, admin, "again")) })
	t.Run("restored", func(t *testing.T) { restored(keep(t, admin, "restored")) })
	t.Run("traffic", func(t *testing.T) { trafficOf(keep(t, admin, "traffic")) })
	t.Run("an anchor day", func(t *testing.T) { anchored(keep(t, admin, "anchored")) })
	t.Run("each", func(t *testing.T) { each(t, keep(t, admin, "each")) })
	t.Run("group created again, with another store", func(t *testing.T) { createdAgainInRedis(keep(t, admin, "redis")) })
	t.Run("another store before", func(t *testing.T) { publishedBefore(keep(t, admin, "published")) })
	t.Run("size", func(t *testing.T) { size(keep(t, admin, "size")) })
}

func series(k *kept) {
	entry := k.save(load(k, k.objects, k.key), 30)
	k.clock.SetTime(k.clock.Now().Add(24 * time.Hour))
	k.save(entry, 50)
	usage := k.usage()
	if owner := metav1.GetControllerOf(usage); owner != nil || len(usage.OwnerReferences) != 1 || usage.OwnerReferences[0].UID != k.group().UID {
		k.Errorf("owned by %+v", usage.OwnerReferences)
	}
	s := usage.Status
	if len(s.Days) != 2 || s.Days[0].Day != "2026-12-03" || *s.Days[0].Requests != 20 || *s.Days[0].Bytes != 40 ||
		s.Days[1].Day != "2026-12-02" || *s.Days[1].Requests != 30 {
		k.Errorf("days: %+v", s.Days)
	}
	if len(s.Months) != 1 || s.Months[0].Month != "2026-12" || *s.Months[0].Requests != 50 || *s.Months[0].Bytes != 100 {
		k.Errorf("months: %+v", s.Months)
	}
	if !s.UpdatedAt.Time.Equal(k.clock.Now()) || s.GroupUID != k.group().UID {
		k.Errorf("status: %+v", s)
	}
	late := store.Key{Group: k.key.Group, Period: last}
	entry = load(k, k.objects, late)
	if _, err := k.objects.Save(k.Context(), late, entry, store.Totals{Requests: 7}); err != nil {
		k.Fatal(err)
	}
	if s = k.usage().Status; len(s.Days) != 3 || s.Days[2].Day != "2026-11-30" || *s.Days[2].Requests != 7 || *s.Months[1].Requests != 7 {
		k.Errorf("after a late report: %+v, %+v", s.Days, s.Months)
	}
}

// anchored: the periods of a Group with an anchor day have ledgers and totals of their own, and the days of each add up to it. A
// restart finds the running one.
func anchored(k *kept) {
	group := k.group()
	group.Spec.Limits.Period = &v1alpha1.QuotaPeriod{AnchorDay: ptr.To[int32](31)}
	if err := k.objects.Client.Update(k.Context(), group); err != nil {
		k.Fatal(err)
	}
	k.clock.SetTime(time.Date(2027, 2, 27, 23, 0, 0, 0, time.UTC))
	key := func(text string) store.Key {
		period, err := quotaledger.ParsePeriod(text)
		if err != nil {
			k.Fatal(err)
		}
		return store.Key{Group: k.key.Group, Period: period}
	}
	january, february := key("2027-01-31"), key("2027-02-28")
	save := func(key store.Key, requests uint64) {
		entry := load(k, k.objects, key)
		entry.Ledger.Servers = map[string]quotaledger.Counters{"one": {Requests: requests}}
		if _, err := k.objects.Save(k.Context(), key, entry, store.Totals{Requests: requests}); err != nil {
			k.Fatal(err)
		}
	}
	save(january, 5)
	k.clock.SetTime(time.Date(2027, 2, 28, 1, 0, 0, 0, time.UTC))
	save(january, 8) // late
	save(february, 3)
	s := k.usage().Status
	if len(s.Months) != 2 || s.Months[0].Month != "2027-02-28" || *s.Months[0].Requests != 3 || *s.Months[1].Requests != 8 {
		k.Errorf("periods: %+v", s.Months)
	}
	if len(s.Days) != 2 || s.Days[0].Day != "2027-02-28" || *s.Days[0].Requests != 3 || s.Days[1].Day != "2027-02-27" || *s.Days[1].Requests != 8 {
		k.Errorf("days: %+v", s.Days)
	}
	if len(s.Ledgers) != 2 || load(k, k.objects, january).Ledger.Total().Requests != 8 || load(k, k.objects, february).Ledger.Total().Requests != 3 {
		k.Errorf("ledgers: %+v", s.Ledgers)
	}
	found := map[store.Key]uint64{}
	if err := k.objects.Each(k.Context(), nil, func(key store.Key, totals store.Totals) { found[key] = totals.Requests }); err != nil {
		k.Fatal(err)
	}
	if found[february] != 3 {
		k.Errorf("found %+v", found)
	}
}

func deletedWhileKnown(k *kept) {
	entry := k.save(load(k, k.objects, k.key), 100)
	was := k.usage().UID
	k.deleteUsage()
	entry = k.save(entry, 130)
	if got := load(k, k.objects, k.key); !got.Ledger.Equal(entry.Ledger) || got.Version != entry.Version || k.usage().UID == was {
		k.Errorf("%+v is left of %+v", got, entry)
	}
	if event := k.event(); !strings.Contains(event, v1alpha1.ReasonUsageDeleted) || !strings.Contains(event, "as it was") {
		k.Errorf("the event is %q", event)
	}
	if s := k.usage().Status; *s.Months[0].Requests != 130 || len(s.Days) != 0 {
		k.Errorf("the whole month is not of this day: %+v", s)
	}
	entry = k.save(entry, 140)
	if s := k.usage().Status; *s.Months[0].Requests != 140 || *s.Days[0].Requests != 10 {
		k.Errorf("%+v", s)
	}
	k.deleteUsage()
	other := entry
	other.Version = "another/" + entry.Version
	if _, err := k.objects.Save(k.Context(), k.key, other, store.Totals{}); !errors.Is(err, store.ErrConflict) {
		k.Errorf("a leader that knows another Group writes: %v", err)
	}
}

// deletedWhileUnknown: what the Group shows still counts, and what the server that runs reports is a part of it.
func deletedWhileUnknown(k *kept) {
	k.save(load(k, k.objects, k.key), 100)
	group := k.group()
	group.Status.Usage = &v1alpha1.UsageTotals{
		Period: this.String(), ResetsAt: metav1.NewTime(this.Begin().AddDate(0, 1, 0)), UsageCounts: usageseries.Counts(store.Totals{Requests: 100, Bytes: 200}),
	}
	if err := k.admin.Status().Update(k.Context(), group); err != nil {
		k.Fatal(err)
	}
	k.deleteUsage()
	k.replaceLeader()
	entry := load(k, k.objects, k.key)
	if committed := entry.Ledger.Committed(); committed != 100 {
		k.Fatalf("%d of 100 are committed", committed)
	}
	if err := entry.Ledger.Report("runs/B", quotaledger.Counters{Requests: 11, Spent: 11, Leased: 40, Sequence: 3}); err != nil {
		k.Fatal(err)
	}
	total := entry.Ledger.Total()
	if total.Requests != 100 || entry.Ledger.Committed() != 129 {
		k.Errorf("%d requests, %d committed", total.Requests, entry.Ledger.Committed())
	}
	if _, err := k.objects.Save(k.Context(), k.key, entry, store.Totals{Requests: total.Requests}); err != nil {
		k.Fatal(err)
	}
	if event := k.event(); !strings.Contains(event, v1alpha1.ReasonUsageDeleted) || !strings.Contains(event, "what the status of the Group shows") {
		k.Errorf("the event is %q", event)
	}
	if got := load(k, k.objects, k.key); !got.Ledger.Equal(entry.Ledger) {
		k.Errorf("%+v is left of %+v", got.Ledger, entry.Ledger)
	}
	if other := load(k, k.objects, store.Key{Group: k.key.Group, Period: last}); other.Ledger.Committed() != 0 {
		k.Errorf("another month has %+v", other.Ledger)
	}
}

// createdAgain: a Group that is created again begins at 0, also while the GroupUsage of the one before is still there.
func createdAgain(k *kept) {
	entry := k.save(load(k, k.objects, k.key), 100)
	before := k.group()
	if err := k.admin.Delete(k.Context(), before); err != nil {
		k.Fatal(err)
	}
	if _, err := k.objects.Save(k.Context(), k.key, entry, store.Totals{}); !errors.Is(err, store.ErrNoGroup) {
		k.Errorf("without a Group: %v", err)
	}
	now := k.createGroup()
	if _, err := k.objects.Save(k.Context(), k.key, entry, store.Totals{}); !errors.Is(err, store.ErrConflict) {
		k.Errorf("with what was known of the Group before: %v", err)
	}
	fresh := load(k, k.objects, k.key)
	if !fresh.Ledger.Equal(&quotaledger.Ledger{}) {
		k.Fatalf("it begins with %+v", fresh.Ledger)
	}
	k.save(fresh, 12)
	usage := k.usage()
	if usage.Status.GroupUID != now.UID || len(usage.OwnerReferences) != 1 || usage.OwnerReferences[0].UID != now.UID ||
		*usage.Status.Months[0].Requests != 12 || *usage.Status.Days[0].Requests != 12 || len(usage.Status.Ledgers) != 1 {
		k.Errorf("%+v", usage)
	}
}

// restored: a copy of a GroupUsage, which is without an owner and about a Group of an earlier cluster, is taken over.
func restored(k *kept) {
	entry := k.save(load(k, k.objects, k.key), 100)
	copied := k.usage()
	k.deleteUsage()
	if err := k.admin.Delete(k.Context(), k.group()); err != nil {
		k.Fatal(err)
	}
	now := k.createGroup()
	plain := &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: now.Name}}
	if err := k.admin.Create(k.Context(), plain); err != nil {
		k.Fatal(err)
	}
	plain.Status = copied.Status
	plain.Status.RefusedKeys = refusedKeys(k)
	if err := k.admin.Status().Update(k.Context(), plain); err != nil {
		k.Fatal(err)
	}
	k.replaceLeader()
	got := load(k, k.objects, k.key)
	if !got.Ledger.Equal(entry.Ledger) {
		k.Fatalf("%+v is left of %+v", got.Ledger, entry.Ledger)
	}
	k.save(got, 120)
	usage := k.usage()
	if usage.Status.GroupUID != now.UID || len(usage.OwnerReferences) != 1 || usage.OwnerReferences[0].UID != now.UID ||
		*usage.Status.Months[0].Requests != 120 || len(usage.Status.RefusedKeys) != 0 { // its keys are made again, with other ids
		k.Errorf("%+v", usage)
	}
}

// fixed is traffic that is taken once, unless it is given back.
type fixed struct{ seen, back usageseries.Traffic }

func (f *fixed) Take(string) usageseries.Traffic {
	seen := f.seen
	f.seen = usageseries.Traffic{}
	return seen
}

func (f *fixed) GiveBack(_ string, seen usageseries.Traffic) { f.back = seen }

func trafficOf(k *kept) {
	seen := usageseries.Traffic{Refusals: map[string]uint64{"origin_denied": 2}, Origins: map[string]uint64{"https://acme.com": 5}}
	f := &fixed{seen: seen}
	k.objects.Traffic = f
	stale := store.Entry{Ledger: &quotaledger.Ledger{}, Version: "of another time"}
	if _, err := k.objects.Save(k.Context(), k.key, stale, store.Totals{}); !errors.Is(err, store.ErrConflict) {
		k.Fatal(err)
	}
	if f.back.Refusals["origin_denied"] != 2 {
		k.Errorf("what was not recorded is given back as %+v", f.back)
	}
	f.seen = seen
	if err := k.objects.RecordTraffic(k.Context(), k.key.Group); err != nil {
		k.Fatal(err)
	}
	s := k.usage().Status
	if s.Days[0].Refusals["origin_denied"] != 2 || s.Months[0].Refusals["origin_denied"] != 2 || *s.Months[0].Origins[0].Requests != 5 {
		k.Errorf("%+v", s)
	}
	if got := load(k, k.objects, k.key); !got.Ledger.Equal(&quotaledger.Ledger{}) {
		k.Errorf("the ledger is %+v", got.Ledger)
	}
}

func each(t *testing.T, k *kept) {
	k.save(load(k, k.objects, k.key), 77)
	seen := map[string]store.Totals{}
	note := func(key store.Key, totals store.Totals) { seen[key.Group] = totals }
	for _, namespaces := range [][]string{nil, {"kube-system", "default"}} {
		clear(seen)
		if err := k.objects.Each(t.Context(), namespaces, note); err != nil {
			t.Fatal(err)
		}
		if seen[k.key.Group].Requests != 77 {
			t.Errorf("in %v: %+v", namespaces, seen)
		}
	}
	clear(seen)
	if err := k.objects.Each(t.Context(), []string{"kube-system"}, note); err != nil || len(seen) > 0 {
		t.Errorf("elsewhere: %+v, %v", seen, err)
	}
}

// createdAgainInRedis: a Group that is deleted and made again begins with nothing, and what was counted of the first is not counted of it.
func createdAgainInRedis(k *kept) {
	redis, _ := openRedis(k.T)
	published := store.Publish(redis, k.objects, 1)
	save := func(entry store.Entry) (string, error) {
		return published.Save(k.Context(), k.key, entry, store.Totals{})
	}
	entry := load(k, published, k.key)
	entry.Ledger = &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{"a": {Requests: 42, Spent: 42, Leased: 50}}}
	version, err := save(entry)
	if err != nil {
		k.Fatal(err)
	}
	entry.Version = version
	if got := load(k, published, k.key); got.Ledger.Total().Requests != 42 {
		k.Fatalf("%+v", got.Ledger)
	}

	late := k.key
	late.UID = k.group().UID
	if err := k.admin.Delete(k.Context(), k.group()); err != nil {
		k.Fatal(err)
	}
	if _, err := published.Load(k.Context(), k.key); !errors.Is(err, store.ErrNoGroup) {
		k.Errorf("without the Group: %v", err)
	}
	if _, err := save(entry); !errors.Is(err, store.ErrNoGroup) {
		k.Errorf("without the Group: %v", err)
	}
	k.createGroup()
	if _, err := save(entry); !errors.Is(err, store.ErrConflict) {
		k.Errorf("what was loaded of the first Group is saved of the second: %v", err)
	}
	if err := k.objects.Publish(k.Context(), late, store.Totals{Requests: 42}); !errors.Is(err, store.ErrNoGroup) {
		k.Errorf("what waited to be published of the first Group is that of the second: %v", err)
	}
	second := load(k, published, k.key)
	if got := second.Ledger.Total(); got != (quotaledger.Counters{}) {
		k.Errorf("the second Group begins with %+v", got)
	}
	second.Ledger = &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{"a": {Requests: 1, Spent: 1, Leased: 5}}}
	if _, err := save(second); err != nil {
		k.Fatal(err)
	}
	if got := load(k, published, k.key).Ledger.Total().Requests; got != 1 {
		k.Errorf("the second Group has %d", got)
	}
}

// publishedBefore: a month that began in another store goes on with what is known of it.
func publishedBefore(k *kept) {
	if err := k.objects.Publish(k.Context(), k.key, store.Totals{Requests: 42, Unconfirmed: 2, Bytes: 9}); err != nil {
		k.Fatal(err)
	}
	if got := load(k, k.objects, k.key).Ledger; got.Committed() != 40 || got.Total().Bytes != 9 {
		k.Errorf("%+v", got)
	}
}

// size: a GroupUsage with everything that it may have takes less than 64 KiB; what is reported decides nothing about that.
func size(k *kept) {
	long := strings.Repeat("o", usageseries.MaxOrigin-30)
	entry := load(k, k.objects, k.key)
	totals := store.Totals{}
	for day := range 120 {
		k.clock.SetTime(this.Begin().AddDate(0, 0, day))
		key := store.Key{Group: k.key.Group, Period: quotaledger.MonthOf(k.clock.Now()).Period()}
		if key.Period != k.key.Period {
			k.key, totals, entry = key, store.Totals{}, load(k, k.objects, key)
		}
		seen := usageseries.Traffic{Refusals: map[string]uint64{}, Origins: map[string]uint64{}}
		for i := range 64 {
			seen.Refusals[fmt.Sprintf("some_decision_code_%d", i)] = 1 << 50
			seen.Origins[fmt.Sprintf("https://%s-%d-%d.example.com", long[:len(long)-20], day, i)] = 1 << 50
		}
		k.objects.Traffic = &fixed{seen: seen}
		entry.Ledger = &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{}}
		for i := range 64 {
			entry.Ledger.Servers[fmt.Sprintf("validator-7c9d8f5b6d-%05d@0123456789ab/ABCDEFGHIJKLMNOPQRSTUVWXYZ", i)] = quotaledger.Counters{
				Leased: 1 << 30, Spent: 1 << 29, Requests: 1 << 30, Sequence: 1 << 20, Bytes: 1 << 45,
			}
		}
		totals.Requests, totals.Bytes = totals.Requests+1<<40, totals.Bytes+1<<45
		var err error
		if entry.Version, err = k.objects.Save(k.Context(), key, entry, totals); err != nil {
			k.Fatal(err)
		}
	}
	usage := k.usage()
	before := managed(k, usage)
	usage.Status.RefusedKeys = refusedKeys(k)
	if err := k.admin.Status().Update(k.Context(), usage); err != nil {
		k.Fatal(err)
	}
	usage = k.usage()
	if grown := managed(k, usage) - before; grown > 1<<10 || len(usage.Status.RefusedKeys) < 40 {
		k.Errorf("managedFields grow by %d bytes with %d refused keys", grown, len(usage.Status.RefusedKeys))
	}
	usage.ManagedFields = nil
	encoded, err := json.Marshal(usage)
	if err != nil {
		k.Fatal(err)
	}
	s := usage.Status
	k.Logf("%d bytes, with %d days, %d months, %d ledgers", len(encoded), len(s.Days), len(s.Months), len(s.Ledgers))
	if len(encoded) > 72<<10 || len(s.Days) != 62 || len(s.Months) < 4 || len(s.Ledgers) != 2 {
		k.Errorf("%d bytes, with %d days, %d months, %d ledgers", len(encoded), len(s.Days), len(s.Months), len(s.Ledgers))
	}
	if len(s.Days[0].Origins) != 10 || len(s.Months[0].Origins) != 10 || s.Days[1].Refusals[usageseries.Other] == 0 {
		k.Errorf("the current day has %d origins, the month %d", len(s.Days[0].Origins), len(s.Months[0].Origins))
	}
}

// managed is how many bytes of JSON the managedFields of an object take.
func managed(k *kept, usage *v1alpha1.GroupUsage) int {
	encoded, err := json.Marshal(usage.ManagedFields)
	if err != nil {
		k.Fatal(err)
	}
	return len(encoded)
}

// refusedKeys are as many as a GroupUsage may have.
func refusedKeys(k *kept) []v1alpha1.RefusedKey {
	status, seen, at := &v1alpha1.GroupUsageStatus{}, map[usageseries.KeyCode]usageseries.KeyRefusals{}, k.clock.Now()
	for i := range 100 {
		seen[usageseries.KeyCode{Key: fmt.Sprint("k0123456789abcdef", i), Code: "origin_denied"}] = usageseries.KeyRefusals{
			Requests: 1 << 50, First: at, Last: at, Origin: "https://copy.example.com",
		}
	}
	usageseries.RecordRefusedKeys(status, at, seen, func(id string) (v1alpha1.KeyUsageOwner, bool) {
		return v1alpha1.KeyUsageOwner{Namespace: "tenants", Name: "web-" + id}, true
	})
	return status.RefusedKeys
}

// TestSchemaOfGroupUsage: the schema refuses what is no month, no day or no number.
func TestSchemaOfGroupUsage(t *testing.T) {
	admin := startAPI(t)
	usage := &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "acme"}}
	if err := admin.Create(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*v1alpha1.GroupUsageStatus){
		"a month":  func(s *v1alpha1.GroupUsageStatus) { s.Months = []v1alpha1.MonthUsage{{Month: "2026/11"}} },
		"a period": func(s *v1alpha1.GroupUsageStatus) { s.Months = []v1alpha1.MonthUsage{{Month: "2026-11-1"}} },
		"a day":    func(s *v1alpha1.GroupUsageStatus) { s.Days = []v1alpha1.DayUsage{{Day: "yesterday"}} },
		"a number": func(s *v1alpha1.GroupUsageStatus) {
			s.Days = []v1alpha1.DayUsage{{Day: "2026-11-01", Requests: ptr.To[int64](-1)}}
		},
	} {
		wrong := usage.DeepCopy()
		change(&wrong.Status)
		if err := admin.Status().Update(t.Context(), wrong); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
