package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// raceEnvironment is the variable that has the programs under test built with the race detector.
const raceEnvironment = "KEYWARD_E2E_RACE"

// soakEnvironment is the variable that says how long TestSoak runs.
const soakEnvironment = "KEYWARD_E2E_SOAK"

// TestSoak runs a manager and a validation server for as long as KEYWARD_E2E_SOAK says, under half of the load that the
// server can take, while keys are created, rotated, used, revoked and deleted throughout. No request is refused that should
// be allowed, and in the end memory, goroutines and open files are what they were.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv(soakEnvironment))
	if err != nil {
		t.Skip("it takes an hour: make soak")
	}
	w := newWorld(t)
	m := w.lead(managerSetup{startupGrace: quick, level: "info"})
	v := w.startValidator(validatorSetup{instance: "soaked", flags: []string{"--log-level=info"}})
	v.awaitReady()
	w.createGroup()
	key := w.mint("stable")
	v.awaits(key, "allowed")

	const clients = 8
	full := v.offer(t, key, clients, 0, 3*time.Second)
	pace := full / 3 / 2
	t.Logf("%d requests a second at most; %d from now on for %s", full/3, pace, length)
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var background sync.WaitGroup
	background.Go(func() { t.Logf("%d requests", v.offer(t, key, clients, pace, length)) })
	churned := 0
	background.Go(func() { churned = w.churn(ctx, v) })
	samples := map[string][]sample{}
	for tick := time.NewTicker(length / 120); ctx.Err() == nil; {
		for _, p := range []struct {
			*process

			metrics string
		}{{m.process, m.metrics}, {v.process, v.listens.Admin.String()}} {
			samples[p.name] = append(samples[p.name], w.sample(p.process, p.metrics))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
		}
	}
	background.Wait()
	t.Logf("%d keys were created and deleted meanwhile", churned)
	for name, all := range samples {
		isFlat(t, name, all)
	}
	for _, p := range []*process{m.process, v.process} {
		p.stop(patience)
		if log, err := os.ReadFile(p.log); err != nil || bytes.Contains(log, []byte("DATA RACE")) {
			t.Errorf("%s: a data race, see %s: %v", p.name, p.log, err)
		}
	}
}

// sample is what a process uses.
type sample struct{ memory, goroutines, files float64 }

var (
	goroutines = regexp.MustCompile(`(?m)^go_goroutines ([0-9.e+]+)$`)
	openFiles  = regexp.MustCompile(`(?m)^process_open_fds ([0-9.e+]+)$`)
	goSystem   = regexp.MustCompile(`(?m)^go_memstats_sys_bytes ([0-9.e+]+)$`)
	goReleased = regexp.MustCompile(`(?m)^go_memstats_heap_released_bytes ([0-9.e+]+)$`)
)

func (w *world) sample(p *process, metrics string) sample {
	_, body, err := get("http://" + metrics + "/metrics")
	if err != nil {
		w.t.Errorf("%s: %v", p.name, err)
	}
	number := func(of *regexp.Regexp) float64 {
		found := of.FindStringSubmatch(body)
		if found == nil {
			w.t.Errorf("%s has no %s", p.name, of)
			return 0
		}
		n, _ := strconv.ParseFloat(found[1], 64) // the expression admits nothing else
		return n
	}
	memory := p.memory(w.t)
	if os.Getenv(raceEnvironment) != "" {
		// The race detector itself keeps 8 bytes for each defer until its goroutine ends, which those of
		// connections do not; Go does not count them (https://go.dev/doc/articles/race_detector#Runtime_Overheads).
		memory = number(goSystem) - number(goReleased)
	}
	return sample{memory, number(goroutines), number(openFiles)}
}

// isFlat compares the last quarter with the second one. The first is a warm-up.
func isFlat(t *testing.T, name string, all []sample) {
	t.Helper()
	quarter := len(all) / 4
	for _, c := range []struct {
		what  string
		of    func(sample) float64
		slack float64 // besides a tenth
	}{
		{"bytes of memory", func(s sample) float64 { return s.memory }, 8e6},
		{"goroutines", func(s sample) float64 { return s.goroutines }, 10},
		{"open files", func(s sample) float64 { return s.files }, 5},
	} {
		median := func(samples []sample) float64 {
			var values []float64
			for _, s := range samples {
				values = append(values, c.of(s))
			}
			slices.Sort(values)
			return values[len(values)/2]
		}
		early, late := median(all[quarter:2*quarter]), median(all[3*quarter:])
		t.Logf("%s: %.0f %s, %.0f in the end", name, early, c.what, late)
		if late > 1.1*early+c.slack {
			t.Errorf("%s: %s grow from %.0f to %.0f", name, c.what, early, late)
		}
	}
}

// offer sends requests from a number of clients for a while, at a pace in requests a second if there is one, and returns how
// many requests there were. None may be refused.
func (v *validator) offer(t *testing.T, key string, clients, pace int, length time.Duration) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var asked atomic.Int64
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() {
			for begin, n := time.Now(), 0; ctx.Err() == nil; n++ {
				if due := begin.Add(time.Duration(n*clients) * time.Second / time.Duration(max(pace, 1))); pace > 0 && time.Until(due) > 0 {
					time.Sleep(time.Until(due)) // that is the pace
				}
				if err := v.mayPass(ctx, key); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
				asked.Add(1)
			}
		})
	}
	asking.Wait()
	return int(asked.Load())
}

// mayPass sends a request to the integration forwardauth.
func (v *validator) mayPass(ctx context.Context, key string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.listens.HTTP.String()+"/authz", nil)
	if err != nil {
		return err
	}
	request.Header = http.Header{
		"Authorization": {"Bearer " + key}, "X-Forwarded-Method": {"GET"}, "X-Forwarded-Host": {"cdn.acme.com"},
		"X-Forwarded-Uri": {"/mkt/scene"},
	}
	response, err := v.requests.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close() // an allowed one has none
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("a good key is answered %s", response.Status)
	}
	return nil
}

// churn creates, uses and deletes keys, one after the other, and returns how many.
func (w *world) churn(ctx context.Context, v *validator) (keys int) {
	for ; ctx.Err() == nil; keys++ {
		name := fmt.Sprintf("churned-%d", keys)
		first := w.mint(name, func(key *v1alpha1.ApiKey) { key.Spec.Rotation.Overlap = "1s" })
		v.awaits(first, "allowed")
		w.trigger(name, "once")
		eventually(w.t, name+" to be rotated", patience, func() error {
			if w.plaintext(name) == first {
				return errors.New("its Secret has the first text")
			}
			return nil
		})
		second := w.plaintext(name)
		v.awaits(second, "allowed")
		v.awaits(first, "key_retired")
		if keys%2 == 0 {
			if err := w.admin.Patch(w.ctx, w.newKey(name), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"revoked":true}}`))); err != nil {
				w.t.Error(err)
			}
			v.awaits(second, "key_revoked")
		}
		if err := w.admin.Delete(w.ctx, w.newKey(name)); err != nil {
			w.t.Error(err)
		}
		v.awaits(second, "key_unknown")
	}
	return keys
}
