package e2e

import (
	"strings"
	"testing"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestQuotaOfKey sends more requests with a key than it may have, while servers start and stop and leaders are killed: exactly its
// quota is admitted, and nobody but the key is refused for it. Then another key uses up the quota of the Group, which has counted
// what the first was admitted, and nothing else.
func TestQuotaOfKey(t *testing.T) {
	t.Run("in objects", func(t *testing.T) { quotaOfKey(t, "", func(*quotaRun) {}) })
	t.Run("in Redis, which is killed in the middle", func(t *testing.T) {
		redis := startRedis(t)
		quotaOfKey(t, redis.url(), func(r *quotaRun) { r.at(12_000, redis.restart) })
	})
}

func quotaOfKey(t *testing.T, store string, also func(*quotaRun)) {
	const ofGroup, ofKey, offered = 50_000, 30_000, 40_000
	r := newQuotaRun(t, 8, ofGroup, v1alpha1.QuotaFailureDeny, store)
	other := r.key
	r.key = r.mint("limited", func(k *v1alpha1.ApiKey) { k.Spec.Limits.RequestsPerMonth = ptr.To[int64](ofKey) })
	key := &v1alpha1.ApiKey{}
	if err := r.admin.Get(r.ctx, client.ObjectKey{Namespace: r.namespace, Name: "limited"}, key); err != nil {
		t.Fatal(err)
	}
	r.at(ofKey/6, r.replaceValidator)
	r.at(ofKey/3, r.killLeader)
	r.at(ofKey/2, r.replaceValidator)
	r.at(ofKey*2/3, r.killLeader)
	also(r)
	r.offer(offered)
	admitted := r.admitted.Load()
	t.Logf("%d admitted with the key, %d refused with 402, %d times 503, %d connections lost",
		admitted, r.exceeded.Load(), r.unavailable.Load(), r.lost.Load())
	// A request that waits for the group while its server stops may cost the key what it costs. Two servers stop here.
	if admitted > ofKey || admitted < ofKey-2*quotaClients {
		t.Errorf("%d admitted, and the key may have %d", admitted, ofKey)
	}
	if r.exceeded.Load() != offered-admitted || r.exceededByKey.Load() != r.exceeded.Load() {
		t.Errorf("%d refused, %d of them by the quota of the key, of %d", r.exceeded.Load(), r.exceededByKey.Load(), offered-admitted)
	}
	r.awaitCounted(admitted)
	r.ledgerOfKey(key.Status.KeyID, store, admitted, ofKey)

	r.key = other
	r.exceeded.Store(0)
	r.exceededByKey.Store(0)
	r.offer(ofGroup)
	if r.admitted.Load() != ofGroup || r.exceeded.Load() != admitted || r.exceededByKey.Load() != 0 {
		t.Errorf("%d admitted in all, with a quota of %d; then %d refused, %d of them by the quota of a key",
			r.admitted.Load(), ofGroup, r.exceeded.Load(), r.exceededByKey.Load())
	}
	r.awaitCounted(ofGroup)
}

// ledgerOfKey checks what is kept of the key: at least what was admitted, and no more than its quota.
func (r *quotaRun) ledgerOfKey(id, store string, admitted, quota int64) {
	r.t.Helper()
	kept := &v1alpha1.KeyUsage{}
	err := r.admin.Get(r.ctx, client.ObjectKey{Namespace: r.namespace, Name: id}, kept)
	if store != "" {
		if err == nil || !strings.Contains(err.Error(), "not found") {
			r.t.Errorf("beside Redis there is a KeyUsage: %v", err)
		}
		return
	}
	if err != nil || len(kept.Spec.Ledgers) != 1 {
		r.t.Errorf("the KeyUsage is %+v, %v", kept.Spec, err)
		return
	}
	spent := int64(0)
	for _, entry := range kept.Spec.Ledgers[0].Entries {
		spent += ptr.Deref(entry.Requests, 0)
	}
	if spent < admitted || spent > quota {
		r.t.Errorf("the KeyUsage counts %d, with %d admitted of %d", spent, admitted, quota)
	}
}
