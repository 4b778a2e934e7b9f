package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestFailover kills the manager that leads while another waits, and lets nobody notice.
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
	asking := w.keepAsking(lasting, validators)

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
	asked, refused := asking.stop()
	if asked == 0 || len(refused) > 0 {
		t.Errorf("of %d requests meanwhile, these were not allowed: %v", asked, refused)
	}
	t.Logf("%d requests meanwhile, all allowed", asked)
}

// awaitConnected waits until the server says that it is connected with a manager (1), or that it is not (0).
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
