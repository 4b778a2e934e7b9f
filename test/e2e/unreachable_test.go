package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestManagerUnreachable kills the manager: validation servers continue to decide, and expire keys by their own clocks.
func TestManagerUnreachable(t *testing.T) {
	w := newWorld(t)
	m := w.lead(managerSetup{})
	validators := w.startValidators("one", "two")
	w.createGroup()
	lasting := w.mint("lasting")
	revoked := w.mint("revoked")
	w.revoke("revoked")
	w.awaitKey("revoked", "enforced on both servers", isEnforced(2))
	// Long enough to be minted, published, delivered, and allowed without a manager.
	expiry := time.Now().Add(20 * time.Second).Truncate(time.Second)
	expiring := w.mint("expiring", func(key *v1alpha1.ApiKey) { key.Spec.ExpiresAt = &metav1.Time{Time: expiry} })
	m.kill()

	for _, v := range validators {
		t.Run(v.setup.instance, func(t *testing.T) {
			v.requires(t, lasting, "allowed")
			v.requires(t, revoked, "key_revoked")
			v.expires(t, expiring, expiry)
		})
	}
	restarted := validators[0]
	restarted.kill()
	restarted.start()
	restarted.awaitReady()
	for _, v := range validators {
		v.requires(t, lasting, "allowed")
		v.requires(t, revoked, "key_revoked")
		v.requires(t, expiring, "key_expired")
		v.requires(t, strangeKey(t), "key_unknown")
	}
}

// expires sends requests until the key is refused, which has to be at the instant of its expiry. It also accepts a key that
// has expired already.
func (v *validator) expires(t *testing.T, key string, expiry time.Time) {
	t.Helper()
	const tolerance = time.Second
	var last time.Time // of a request that was allowed
	err := poll(t.Context(), time.Until(expiry)+patience, func() error {
		asked := time.Now()
		code, err := v.verify(context.WithoutCancel(t.Context()), key)
		switch {
		case err != nil:
			return err
		case code == "allowed":
			last = asked
			return fmt.Errorf("it is allowed")
		case code != "key_expired":
			t.Fatalf("it is answered %s", code)
		}
		return nil
	})
	now := time.Now()
	if err != nil || now.Before(expiry.Add(-tolerance)) || last.After(expiry.Add(tolerance)) {
		t.Errorf("the key of %s was last allowed at %s and refused at %s (%v)", expiry, last, now, err)
	}
	t.Logf("allowed until %s before its expiry, refused from %s after it", expiry.Sub(last).Round(time.Millisecond),
		now.Sub(expiry).Round(time.Millisecond))
}
