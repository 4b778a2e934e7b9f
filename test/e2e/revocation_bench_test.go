package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// loaded is how many keys exist besides the one that is revoked.
	loaded = 10_000
	// resolution is the pause between two requests to a validation server. Without a pause, the requests themselves would
	// keep a small machine busy.
	resolution = 250 * time.Microsecond
)

// BenchmarkRevocation measures from just before the PATCH that revokes a key until each validation server refuses it, and
// until a bare watch of the same object sees the change, which is the earliest that anything could know. Both are measured
// for the same revocations.
func BenchmarkRevocation(b *testing.B) {
	before := machine()
	w := newWorld(b)
	w.lead(managerSetup{startupGrace: quick, level: "info"})
	validators := []*validator{
		w.startValidator(validatorSetup{instance: "one", flags: []string{"--log-level=info"}}),
		w.startValidator(validatorSetup{instance: "two", flags: []string{"--log-level=info"}}),
	}
	w.createGroup()
	names := w.load(loaded)
	objects, err := dynamic.NewForConfig(w.config)
	if err != nil {
		b.Fatal(err)
	}
	keys := objects.Resource(v1alpha1.GroupVersion.WithResource("apikeys")).Namespace(w.namespace)

	var baseline, each, last []time.Duration
	for n := 0; b.Loop(); n++ {
		seen, refused := w.measure(keys, names[n], validators)
		baseline = append(baseline, seen)
		each = append(each, refused...)
		last = append(last, slices.Max(refused))
		w.awaitKey(names[n], "enforced", isEnforced(int32(len(validators)))) // then the manager is idle again
	}
	b.ReportMetric(0, "ns/op") // the time of a loop says nothing
	fmt.Printf("\n%d revocations, %d keys, %d validation servers; %s\n\n", len(baseline), loaded, len(validators), before)
	fmt.Printf("| from just before the PATCH until … | p50 | p99 | max |\n|---|---|---|---|\n%s%s%s| all of them : the "+
		"baseline | %.2f | %.2f | |\n\n",
		row("a bare watch sees it (the baseline)", baseline), row("a validation server refuses", each), row("all of them refuse", last),
		ratio(last, baseline, 0.5), ratio(last, baseline, 0.99))
}

// load mints keys, and returns the names of the ApiKeys when the manager is idle.
func (w *world) load(n int) []string {
	w.t.Helper()
	begin := time.Now()
	w.createKeys("key", n).Wait()
	names := make([]string, 0, n)
	for i := range n {
		names = append(names, fmt.Sprintf("key-%04d", i))
		w.awaitKey(names[i], "ready", isReady)
	}
	w.t.Logf("%d keys were minted in %s", n, time.Since(begin).Round(time.Second))
	return names
}

// measure revokes one key.
func (w *world) measure(keys dynamic.ResourceInterface, name string, validators []*validator) (seen time.Duration,
	refused []time.Duration) {
	key := w.plaintext(name)
	watching, err := keys.Watch(w.ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
	if err != nil {
		w.t.Fatal(err)
	}
	defer watching.Stop()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	observed, ready := make(chan time.Time, 1), make(chan struct{}, 1+len(validators))
	go func() { observed <- whenSeen(ctx, watching, ready) }()
	refusals := make([]chan time.Time, len(validators))
	for i, v := range validators {
		refusals[i] = make(chan time.Time, 1)
		go func() { refusals[i] <- v.whenRefused(ctx, key, ready) }()
	}
	for range cap(ready) {
		select {
		case <-ready:
		case <-ctx.Done():
			w.t.Fatalf("%s cannot be watched", name)
		}
	}
	begin := time.Now()
	if _, err := keys.Patch(w.ctx, name, types.MergePatchType, []byte(`{"spec":{"revoked":true}}`), metav1.PatchOptions{}); err != nil {
		w.t.Fatal(err)
	}
	at := <-observed
	for _, refusal := range refusals {
		refused = append(refused, (<-refusal).Sub(begin))
	}
	if at.IsZero() || slices.Min(refused) < 0 {
		w.t.Fatalf("%s was not revoked in time", name)
	}
	return at.Sub(begin), refused
}

// whenSeen says that it is ready with the first event, which is the object as it was.
func whenSeen(ctx context.Context, watching watch.Interface, ready chan<- struct{}) time.Time {
	for first := true; ; first = false {
		select {
		case event := <-watching.ResultChan():
			object, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				return time.Time{}
			}
			if revoked, _, _ := unstructured.NestedBool(object.Object, "spec", "revoked"); revoked {
				return time.Now()
			}
			if first {
				ready <- struct{}{}
			}
		case <-ctx.Done():
			return time.Time{}
		}
	}
}

// whenRefused asks all the time, and is ready once it has been answered some times.
func (v *validator) whenRefused(ctx context.Context, key string, ready chan<- struct{}) time.Time {
	const warm = 20
	for n := 1; ctx.Err() == nil; n++ {
		code, err := v.verify(ctx, key)
		if err == nil && code != "allowed" {
			return time.Now()
		}
		if n == warm {
			ready <- struct{}{}
		}
		time.Sleep(resolution) // see there
	}
	return time.Time{}
}

func row(what string, samples []time.Duration) string {
	return fmt.Sprintf("| %s | %s | %s | %s |\n", what, millis(quantile(samples, 0.5)), millis(quantile(samples, 0.99)),
		millis(quantile(samples, 1)))
}

func ratio(a, b []time.Duration, part float64) float64 {
	return float64(quantile(a, part)) / float64(quantile(b, part))
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// quantile is the smallest sample that at least this part of all samples does not exceed.
func quantile(samples []time.Duration, part float64) time.Duration {
	sorted := slices.Sorted(slices.Values(samples))
	at := int(part*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

// machine says what was measured on, and how busy that was.
func machine() string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(data); found != nil {
			model = string(found[1])
		}
	}
	load := "unknown"
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(data))[:3], " ")
	}
	return fmt.Sprintf("%d × %s, %s/%s, %s, load average %s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, runtime.Version(), load)
}
