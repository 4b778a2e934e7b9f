package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// TestFailover kills the leading manager while another one waits: no client notices.
func TestFailover(t *testing.T) {
	w := newWorld(t)
	first := w.startManager(managerSetup{elect: true})
	w.awaitReady(first)
	w.awaitLeader()
	second := w.startManager(managerSetup{elect: true})
	w.awaitReady(second)
	validators := w.startValidators("one", "two")
	w.createGroup()
	lasting := w.mint("lasting")
	doomed := w.mint("doomed")
	loop := w.startLoadLoop(lasting, validators)

	first.kill()
	begin := time.Now()
	for _, connected := range []int{0, 1} {
		for _, v := range validators {
			w.awaitConnected(v, connected)
		}
	}
	t.Logf("connected to the new leader %s after the old one was killed", time.Since(begin).Round(time.Millisecond))
	if second.hasEnded() {
		t.Fatal(second.complaint())
	}
	fresh := w.mint("fresh")
	w.revoke("doomed")
	w.awaitKey("doomed", "enforced on both servers", isEnforced(2))
	for _, v := range validators {
		v.requires(t, fresh, "allowed")
		v.requires(t, doomed, "key_revoked")
	}
	asked, refused := loop.stop()
	if asked == 0 || len(refused) > 0 {
		t.Errorf("of %d requests meanwhile, these were not allowed: %v", asked, refused)
	}
	t.Logf("%d requests meanwhile, all allowed", asked)
}

// TestRestartGoesOnLeading kills the leading manager, and starts it again as a kubelet restarts a container: it does not
// wait until its own earlier Lease expires.
func TestRestartGoesOnLeading(t *testing.T) {
	w := newWorld(t)
	setup := managerSetup{elect: true, startupGrace: quick, environment: []string{"POD_NAME=keyward-manager-abc", "POD_UID=0b5e2e0c"}}
	first := w.lead(setup)
	lease := w.lease()
	if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != "keyward-manager-abc_0b5e2e0c" {
		t.Fatalf("the Lease is held by %q", holder)
	}
	first.kill()
	begin := time.Now()
	w.lead(setup)
	t.Logf("leads again %s after it was killed", time.Since(begin).Round(time.Millisecond))
	if again := w.lease(); !equality.Semantic.DeepEqual(again.Spec.LeaseTransitions, lease.Spec.LeaseTransitions) ||
		!again.Spec.AcquireTime.Equal(lease.Spec.AcquireTime) {
		t.Errorf("the Lease has changed hands: %+v, was %+v", again.Spec, lease.Spec)
	}
}

func (w *world) lease() *coordinationv1.Lease {
	w.t.Helper()
	lease, err := w.core.CoordinationV1().Leases(systemNamespace).Get(w.ctx, "keyward-manager", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return lease
}

// awaitConnected waits until the server reports that it is connected with a manager (1), or that it is not (0).
func (w *world) awaitConnected(v *validator, connected int) {
	w.t.Helper()
	line := fmt.Sprintf("\nkeyward_validator_connected %d\n", connected)
	eventually(w.t, v.setup.instance+" to say"+line, patience, func() error {
		status, body, err := get("http://" + v.listens.Admin.String() + "/metrics")
		if err == nil && (status != http.StatusOK || !strings.Contains(body, line)) {
			err = errors.New("it does not")
		}
		return err
	})
}
