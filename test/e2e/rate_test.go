package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

var left = regexp.MustCompile(`^"key";r=([0-9]+);t=[0-9]+$`)

// TestRateLimit: a validation server has the whole limit of a key while it is the only one, half of it as soon as there is
// another one, and the whole limit again when the other one has stopped. Both together allow what the limit says.
func TestRateLimit(t *testing.T) {
	const burst = 1000
	w := newWorld(t)
	w.awaitReady(w.startManager(managerSetup{level: "info"}))
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "acme"}}
	group.Spec.Projects = []v1alpha1.Project{{Name: "marketing", Routes: []v1alpha1.Route{{Paths: []string{"/mkt/**"}}}}}
	w.create(group)
	start := func(instance string) *validator {
		v := w.startValidator(validatorSetup{instance: instance, flags: []string{"--log-level=info", "--namespace=" + w.namespace}})
		v.awaitReady()
		return v
	}
	one := start("one")
	key := w.mint("paced", func(k *v1alpha1.ApiKey) {
		k.Spec.Limits.RateLimit = v1alpha1.RateLimit{RequestsPerSecond: new(int32(1)), Burst: new(int32(burst))}
	})
	var admitted atomic.Int64
	// ask returns how many more requests the server would allow, and reports whether it allowed this one.
	ask := func(v *validator) (more int, allowed bool, err error) {
		request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://"+v.listens.HTTP.String()+"/authz", nil)
		if err != nil {
			return 0, false, err
		}
		request.Header = http.Header{
			"Authorization": {"Bearer " + key}, "X-Forwarded-Method": {"GET"}, "X-Forwarded-Host": {"cdn.acme.com"},
			"X-Forwarded-Uri": {"/mkt/scene"},
		}
		response, err := v.requests.Do(request)
		if err != nil {
			return 0, false, err
		}
		_ = response.Body.Close()
		header := left.FindStringSubmatch(response.Header.Get("RateLimit"))
		switch allowed = response.StatusCode == http.StatusOK; {
		case header == nil:
			return 0, false, fmt.Errorf("%s answers %s with RateLimit %q", v.setup.instance, response.Status, response.Header.Get("RateLimit"))
		case allowed:
			admitted.Add(1)
		case response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "":
			return 0, false, fmt.Errorf("%s answers %s, Retry-After %q", v.setup.instance, response.Status, response.Header.Get("Retry-After"))
		}
		more, err = strconv.Atoi(header[1])
		return more, allowed, err
	}
	has := func(v *validator, least, most int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s to have %d to %d", v.setup.instance, least, most), patience, func() error {
			more, _, err := ask(v)
			if err == nil && (more < least || more > most) {
				err = fmt.Errorf("it has %d", more)
				time.Sleep(500 * time.Millisecond) // a request takes one of what is left, of which there is one more in a second
			}
			return err
		})
	}
	has(one, burst*9/10, burst-1)
	two := start("two")
	has(one, burst*4/10, burst/2-1)
	has(two, burst*4/10, burst/2-1)
	two.signal(t, syscall.SIGTERM)
	has(one, burst*8/10, burst-1)
	two = start("two")
	has(one, burst*3/10, burst/2-1)
	has(two, burst*3/10, burst/2-1)

	before, begin := admitted.Load(), time.Now()
	var all sync.WaitGroup
	for _, v := range []*validator{one, two} {
		for range 8 {
			all.Go(func() {
				for {
					switch _, allowed, err := ask(v); {
					case err != nil:
						t.Error(errors.Join(errors.New("asking"), err))
						return
					case !allowed:
						return
					}
				}
			})
		}
	}
	all.Wait()
	took := time.Since(begin)
	rest := admitted.Load() - before
	t.Logf("%d more admitted by both in %s", rest, took.Round(time.Millisecond))
	if most := int64(burst + took.Seconds()); rest > most || rest < burst*6/10 {
		t.Errorf("%d admitted, where %d may be", rest, most)
	}
}
