package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestUse reports what is used, so that an overlap ends early if all clients have cut over, and a warning appears if not
// all have. A disconnected validation server may still get requests: while one is disconnected, nothing ends early.
func TestUse(t *testing.T) {
	w := newWorld(t)
	w.lead(managerSetup{flags: []string{"--last-used-resolution=1s"}})
	content := w.contentServer()
	start := func(instance string) *validator {
		v := w.startValidator(validatorSetup{instance: instance, upstream: content.URL, flags: []string{"--usage-interval=1s"}})
		v.awaitReady()
		return v
	}
	one, two := start("one"), start("two")
	w.createGroup()
	early := func(key *v1alpha1.ApiKey) {
		key.Spec.Rotation.Overlap, key.Spec.Rotation.RetireWhenUnusedFor = "30s", "10s"
	}
	old := map[string]string{"early": w.mint("early", early), "away": w.mint("away", early), "late": w.mint("late", overlapping("20s"))}

	t.Run("lastUsedAt", func(t *testing.T) {
		begin := time.Now().Truncate(time.Second)
		one.uses(t, old["early"])
		key := w.awaitKey("early", "used", func(key *v1alpha1.ApiKey) bool { return key.Status.LastUsedAt != nil })
		if at := key.Status.LastUsedAt; at.Time.Before(begin) || at.After(time.Now()) || !at.Equal(key.Status.Versions[0].LastUsedAt) {
			t.Errorf("it was used at %s, not at %s", begin, at)
		}
	})
	t.Run("everybody has cut over", func(t *testing.T) {
		w.rotateNow("early")
		two.uses(t, w.plaintext("early"))
		retired, full := w.awaitRetired("early")
		if !retired.Before(full) {
			t.Errorf("it was to be retired before %s, and was at %s", full, retired)
		}
		w.awaitEvent("early", "was not used for 10s, and version 2 is: its overlap ends early")
		one.awaits(old["early"], "key_retired")
	})
	t.Run("not everybody is known to have", func(t *testing.T) {
		two.kill()
		for _, name := range []string{"away", "late"} {
			w.rotateNow(name)
			one.uses(t, w.plaintext(name))
		}
		var pending string
		key := w.awaitKey("late", "warned of", func(key *v1alpha1.ApiKey) bool {
			one.uses(t, old["late"])
			condition := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionCutoverPending)
			if condition == nil || condition.Status != metav1.ConditionTrue {
				return false
			}
			pending = condition.Message
			return true
		})
		if v := key.Status.Versions[0]; v.State != v1alpha1.VersionRetiring ||
			!strings.Contains(pending, fmt.Sprintf("version 1 (%s) is still used, by 1 client address", v.Preview)) {
			t.Errorf("it says %q of %+v", pending, v)
		}
		for _, name := range []string{"late", "away"} {
			if retired, full := w.awaitRetired(name); !retired.Equal(full) {
				t.Errorf("%s was to be retired at %s, and was at %s", name, full, retired)
			}
			one.awaits(old[name], "key_retired")
		}
		w.awaitKey("late", "no longer warned of", func(key *v1alpha1.ApiKey) bool {
			return meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionCutoverPending) == nil
		})
	})
}

// uses sends one request through the reverse proxy, which has to be allowed.
func (v *validator) uses(t *testing.T, key string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+v.listens.Proxy.String()+"/mkt/scene", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", key)
	response, err := v.requests.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Errorf("%s answers %s", v.setup.instance, response.Status)
	}
}

// rotateNow rotates a key that has one version, and returns when the second is delivered.
func (w *world) rotateNow(name string) {
	w.t.Helper()
	w.trigger(name, "now")
	w.awaitKey(name, "rotated", func(key *v1alpha1.ApiKey) bool {
		versions := key.Status.Versions
		return len(versions) == 2 && versions[0].State == v1alpha1.VersionRetiring && versions[1].State == v1alpha1.VersionActive
	})
}

// awaitRetired waits until the overlap of the first version is over, and returns when that was and when it was due.
func (w *world) awaitRetired(name string) (retired, full time.Time) {
	w.t.Helper()
	key := w.awaitKey(name, "retired", func(key *v1alpha1.ApiKey) bool { return key.Status.Versions[0].State == v1alpha1.VersionRetired })
	overlap, err := time.ParseDuration(string(key.Spec.Rotation.Overlap))
	if err != nil {
		w.t.Fatal(err)
	}
	return key.Status.Versions[0].RetiresAt.Time, key.Status.Versions[1].DeliveredAt.Add(overlap + time.Second)
}
