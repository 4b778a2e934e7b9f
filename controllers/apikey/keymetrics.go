package apikey

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/scrape"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

var (
	keysDesc     = prometheus.NewDesc("keyward_apikeys", "ApiKeys by state.", []string{"state"}, nil)
	expiringDesc = prometheus.NewDesc("keyward_apikeys_expiring_soon",
		"ApiKeys with the condition ExpiringSoon: they end within 14 days, and will not rotate before.", nil, nil)
	cutoverDesc = prometheus.NewDesc("keyward_apikeys_cutover_pending",
		"ApiKeys with the condition CutoverPending: their earlier version is still used, and its overlap is about to end.", nil, nil)
	expirationDesc = prometheus.NewDesc("keyward_apikey_expiration_timestamp_seconds",
		"When an ApiKey ends that will not rotate before, in Unix time. Only for the --metrics-keys that end soonest, of those that live "+
			"for at least 7 days.",
		[]string{"namespace", "name", "group"}, nil)
)

// minLifetime is how long a key lives at least that has a series of its own. Whoever makes keys that live shorter makes many, on
// purpose: they always end soon, and would displace the others.
const minLifetime = 7 * 24 * time.Hour

// states are the values of the label state. A key without a state is Pending.
var states = []v1alpha1.KeyState{
	v1alpha1.KeyPending, v1alpha1.KeyActive, v1alpha1.KeySuspended, v1alpha1.KeyBlocked, v1alpha1.KeyExpired, v1alpha1.KeyRevoked,
}

// KeyMetrics exports metrics of ApiKeys while this replica leads. They are read from the cache at each scrape, so that no
// deleted key is shown.
type KeyMetrics struct {
	// Reader is the cache.
	Reader client.Reader
	Clock  clock.PassiveClock
	// Keys is how many keys have a series of their own: those that end soonest.
	Keys int
}

var collector = scrape.NewCurrent((*KeyMetrics).scrape, keysDesc, expiringDesc, cutoverDesc, expirationDesc)

// NeedLeaderElection is true: otherwise sums over replicas would count twice.
func (m *KeyMetrics) NeedLeaderElection() bool { return true }

// Start exports metrics until the context ends.
func (m *KeyMetrics) Start(ctx context.Context) error { return collector.Hold(ctx, m) }

func (m *KeyMetrics) scrape(all chan<- prometheus.Metric) {
	ctx := context.Background() // a scrape has no context; the cache answers at once
	keys, err := cache.CachedAllKeys(ctx, m.Reader)
	if err != nil {
		logf.FromContext(ctx).Error(err, "The metrics of ApiKeys are missing")
		return
	}
	m.collect(keys, scrape.Gauges(all))
}

func (m *KeyMetrics) collect(keys []v1alpha1.ApiKey, emit func(desc *prometheus.Desc, value float64, labels ...string)) {
	now := m.Clock.Now()
	byState := map[v1alpha1.KeyState]int{}
	expiring, cutover := 0, 0
	// soonest is cut whenever it is twice as long as needed. A key that ends no sooner than last is not among them.
	var soonest []*v1alpha1.ApiKey
	var last *v1alpha1.ApiKey
	sooner := func(a, b *v1alpha1.ApiKey) int {
		return cmp.Or(a.Status.ExpiresAt.Compare(b.Status.ExpiresAt.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	}
	for i := range keys {
		key := &keys[i]
		byState[cmp.Or(key.Status.State, v1alpha1.KeyPending)]++
		expiring += count(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionExpiringSoon))
		cutover += count(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionCutoverPending))
		if m.Keys <= 0 || !endsUnrotated(key, now) || last != nil && sooner(key, last) >= 0 {
			continue
		}
		if soonest = append(soonest, key); len(soonest) >= 2*m.Keys {
			slices.SortFunc(soonest, sooner)
			soonest, last = soonest[:m.Keys], soonest[m.Keys-1]
		}
	}
	for _, state := range states {
		emit(keysDesc, float64(byState[state]), string(state))
	}
	emit(expiringDesc, float64(expiring))
	emit(cutoverDesc, float64(cutover))
	slices.SortFunc(soonest, sooner)
	for _, key := range soonest[:min(m.Keys, len(soonest))] {
		emit(expirationDesc, float64(key.Status.ExpiresAt.Unix()), key.Namespace, key.Name,
			cache.GroupName(key.Spec.GroupRef, key.Namespace).String())
	}
}

// endsUnrotated reports whether the key is in use, and ends unless somebody acts: it has an end, and it does not rotate before,
// or its end is a date that a rotation does not move. The end of a short life is no surprise.
func endsUnrotated(key *v1alpha1.ApiKey, now time.Time) bool {
	status := &key.Status
	if status.ExpiresAt == nil || !status.ExpiresAt.After(now) || key.DeletionTimestamp != nil ||
		status.State == v1alpha1.KeyRevoked || status.State == v1alpha1.KeyExpired {
		return false
	}
	current := lifecycle.Current(status.Versions)
	if current == nil || current.MintedAt.IsZero() || status.ExpiresAt.Sub(current.MintedAt.Time) < minLifetime {
		return false
	}
	return key.Spec.ExpiresAt != nil || status.NextRotationAt == nil || !status.NextRotationAt.Before(status.ExpiresAt)
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

func init() { metrics.Registry.MustRegister(collector) }
