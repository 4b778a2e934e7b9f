package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestGroupUsage: what is allowed and what is refused is in the GroupUsage of the Group, by day and by month. If that is deleted,
// it is made again, and no request is counted less or twice: neither by the leader that knew it, nor by another one.
func TestGroupUsage(t *testing.T) {
	w := newWorld(t)
	m := w.lead(managerSetup{startupGrace: quick})
	w.createGroup()
	v := w.startValidator(validatorSetup{instance: "counter", flags: []string{"--log-level=info", "--usage-interval=1s"}})
	v.awaitReady()
	key := w.mint("web")
	allowed := int64(0)
	ask := func(origin string) error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+v.listens.HTTP.String()+"/authz", nil)
		if err != nil {
			return err
		}
		request.Header = http.Header{
			"Authorization": {"Bearer " + key}, "X-Forwarded-Method": {"GET"}, "Origin": {origin},
			"X-Forwarded-Host": {"cdn.acme.com"}, "X-Forwarded-Uri": {"/mkt/scene"},
		}
		response, err := v.requests.Do(request)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		allowed++
		return nil
	}
	used := func() *v1alpha1.GroupUsage {
		t.Helper()
		u := &v1alpha1.GroupUsage{}
		if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "acme"}, u); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return u
	}
	eventually(t, "the first request", patience, func() error { return ask("http://localhost:3000") })
	for range 3 {
		if err := ask("https://evil.example"); err == nil {
			t.Fatal("another origin is allowed")
		}
	}
	// Refusals are recorded with the next count of allowed requests.
	eventually(t, "refusals and origins to be recorded", patience, func() error {
		if err := ask("http://localhost:3000"); err != nil {
			return err
		}
		s := used().Status
		if len(s.Days) == 0 || len(s.Months) == 0 || s.Days[0].Refusals["origin_denied"] != 3 || s.Months[0].Refusals["origin_denied"] != 3 ||
			len(s.Days[0].Origins) != 1 || s.Days[0].Origins[0].Origin != "http://localhost" {
			return fmt.Errorf("it says %+v, %+v", s.Days, s.Months)
		}
		return nil
	})
	counted := func() {
		t.Helper()
		eventually(t, "all requests to be counted", patience, func() error {
			if got := ptr.Deref(w.usage("acme").Requests, 0); got != allowed {
				return fmt.Errorf("of %d it says %d", allowed, got)
			}
			return nil
		})
	}
	counted()

	if err := w.admin.Delete(w.ctx, used()); err != nil {
		t.Fatal(err)
	}
	if err := ask("http://localhost:3000"); err != nil {
		t.Fatal(err)
	}
	counted()

	// Nothing is left to record, so the leader does not make it again before it is killed. Admission needs the leader.
	if err := w.admin.Delete(w.ctx, used()); err != nil {
		t.Fatal(err)
	}
	m.kill()
	w.lead(managerSetup{startupGrace: quick})
	eventually(t, "a request", patience, func() error { return ask("http://localhost:3000") })
	counted()
	eventually(t, "an event about a deletion", patience, func() error {
		all, seen := &eventsv1.EventList{}, 0
		if err := w.admin.List(w.ctx, all, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		for i := range all.Items {
			if all.Items[i].Reason == v1alpha1.ReasonUsageDeleted {
				seen++
			}
		}
		if seen == 0 {
			return errors.New("there is none")
		}
		return nil
	})
}
