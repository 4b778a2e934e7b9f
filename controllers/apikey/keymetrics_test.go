package apikey

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// listedKeys is a cache with these ApiKeys.
type listedKeys struct {
	client.Reader

	keys []v1alpha1.ApiKey
}

func (l *listedKeys) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1alpha1.ApiKeyList).Items = l.keys
	return nil
}

var scrapedAt = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// endsAfter returns an active key that was minted 30 days ago, and ends after a time from the scrape.
func endsAfter(name string, left time.Duration, change ...func(*v1alpha1.ApiKey)) v1alpha1.ApiKey {
	key := v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: name}}
	key.Spec.GroupRef = v1alpha1.GroupReference{Name: "acme", Namespace: "tenants"}
	ends := metav1.NewTime(scrapedAt.Add(left))
	key.Status.State, key.Status.ExpiresAt = v1alpha1.KeyActive, &ends
	key.Status.Versions = []v1alpha1.KeyVersion{{ID: 1, State: v1alpha1.VersionActive,
		MintedAt: metav1.NewTime(scrapedAt.Add(-30 * day)), ExpiresAt: &ends}}
	for _, f := range change {
		f(&key)
	}
	return key
}

func rotatesAfter(left time.Duration) func(*v1alpha1.ApiKey) {
	return func(key *v1alpha1.ApiKey) { key.Status.NextRotationAt = new(metav1.NewTime(scrapedAt.Add(left))) }
}

func inState(state v1alpha1.KeyState) func(*v1alpha1.ApiKey) {
	return func(key *v1alpha1.ApiKey) { key.Status.State = state }
}

func withCondition(name string) func(*v1alpha1.ApiKey) {
	return func(key *v1alpha1.ApiKey) {
		key.Status.Conditions = append(key.Status.Conditions, metav1.Condition{Type: name, Status: metav1.ConditionTrue})
	}
}

// collectKeys compares the metrics of a replica that leads, and checks that it has none afterwards.
func collectKeys(t *testing.T, m *KeyMetrics, want string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Start(ctx) }()
		synctest.Wait()
		if err := testutil.CollectAndCompare(collector, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		if problems, err := testutil.CollectAndLint(collector); err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := testutil.CollectAndCount(collector); n != 0 {
			t.Errorf("%d metrics of a replica that does not lead", n)
		}
	})
}

// TestKeyMetrics: the keys that end soonest, and will not rotate before, have series of their own; all keys are counted.
func TestKeyMetrics(t *testing.T) {
	rapid := endsAfter("short-lived", time.Hour)
	rapid.Status.Versions[0].MintedAt = metav1.NewTime(scrapedAt.Add(-time.Hour))
	cache := &listedKeys{keys: []v1alpha1.ApiKey{
		endsAfter("third", 40*day), endsAfter("first", day), endsAfter("fourth", 50*day), rapid,
		endsAfter("second", 7*day, withCondition(v1alpha1.ConditionExpiringSoon)),
		endsAfter("rotates", day, rotatesAfter(time.Hour)),
		endsAfter("rotates-late", 39*day, rotatesAfter(39*day)),
		endsAfter("has-a-date", 30*day, rotatesAfter(day), func(key *v1alpha1.ApiKey) { key.Spec.ExpiresAt = key.Status.ExpiresAt }),
		endsAfter("over", -time.Second, inState(v1alpha1.KeyExpired)), endsAfter("just-over", 0),
		endsAfter("revoked", day, inState(v1alpha1.KeyRevoked)),
		endsAfter("never", 0, func(key *v1alpha1.ApiKey) { key.Status.ExpiresAt = nil }, withCondition(v1alpha1.ConditionCutoverPending)),
		endsAfter("deleted", day, func(key *v1alpha1.ApiKey) { key.DeletionTimestamp = new(metav1.NewTime(scrapedAt)) }),
		{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "new"}},
	}}
	clk := clocktesting.NewFakeClock(scrapedAt)
	const head = `
# HELP keyward_apikeys ApiKeys by state.
# TYPE keyward_apikeys gauge
keyward_apikeys{state="Active"} 11
keyward_apikeys{state="Blocked"} 0
keyward_apikeys{state="Expired"} 1
keyward_apikeys{state="Pending"} 1
keyward_apikeys{state="Revoked"} 1
keyward_apikeys{state="Suspended"} 0
# HELP keyward_apikeys_cutover_pending ApiKeys with the condition CutoverPending: their earlier version is still used, and its overlap is about to end.
# TYPE keyward_apikeys_cutover_pending gauge
keyward_apikeys_cutover_pending 1
# HELP keyward_apikeys_expiring_soon ApiKeys with the condition ExpiringSoon: they end within 14 days, and will not rotate before.
# TYPE keyward_apikeys_expiring_soon gauge
keyward_apikeys_expiring_soon 1
`
	series := "# HELP keyward_apikey_expiration_timestamp_seconds When an ApiKey ends that will not rotate before, in Unix time. " +
		"Only for the --metrics-keys that end soonest, of those that live for at least 7 days.\n" +
		"# TYPE keyward_apikey_expiration_timestamp_seconds gauge\n"
	for _, want := range []struct {
		name string
		left time.Duration
	}{{"first", day}, {"second", 7 * day}, {"has-a-date", 30 * day}, {"rotates-late", 39 * day}, {"third", 40 * day}} {
		series += fmt.Sprintf("keyward_apikey_expiration_timestamp_seconds{group=\"tenants/acme\",name=%q,namespace=\"web\"} %d\n",
			want.name, scrapedAt.Add(want.left).Unix())
	}
	collectKeys(t, &KeyMetrics{Reader: cache, Clock: clk, Keys: 5}, head+series)
	collectKeys(t, &KeyMetrics{Reader: cache, Clock: clk, Keys: 0}, head)
}

// TestKeyMetricsAreBounded: of any number of keys, in any order, those that end soonest have series.
func TestKeyMetricsAreBounded(t *testing.T) {
	cache := &listedKeys{}
	for i := range 1000 {
		cache.keys = append(cache.keys, endsAfter(fmt.Sprint(i), time.Duration(1+i*7919%1000)*time.Hour))
	}
	m := &KeyMetrics{Reader: cache, Clock: clocktesting.NewFakeClock(scrapedAt), Keys: 10}
	defer collector.Set(m)()
	if n := testutil.CollectAndCount(collector, "keyward_apikey_expiration_timestamp_seconds"); n != 10 {
		t.Errorf("%d series, want 10", n)
	}
	families, err := testutil.CollectAndFormat(collector, expfmt.TypeTextPlain, "keyward_apikey_expiration_timestamp_seconds")
	if err != nil {
		t.Fatal(err)
	}
	for hours := range 10 {
		ends := strconv.FormatFloat(float64(scrapedAt.Add(time.Duration(1+hours)*time.Hour).Unix()), 'g', -1, 64)
		if !strings.Contains(string(families), "} "+ends+"\n") {
			t.Errorf("no key ends after %d hours:\n%s", 1+hours, families)
		}
	}
}

// BenchmarkKeyMetrics is a scrape of 100,000 keys.
func BenchmarkKeyMetrics(b *testing.B) {
	cache := &listedKeys{}
	for i := range 100_000 {
		cache.keys = append(cache.keys, endsAfter(fmt.Sprint(i), time.Duration(i*7919%100_000)*time.Minute))
	}
	defer collector.Set(&KeyMetrics{Reader: cache, Clock: clocktesting.NewFakeClock(scrapedAt), Keys: 100})()
	for b.Loop() {
		testutil.CollectAndCount(collector)
	}
}
