package e2e

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// revocations are how long it took until a bare watch saw each, and until each server refused its key.
type revocations struct {
	seen, refused []time.Duration
	// processor is what the manager spent meanwhile, in seconds.
	processor float64
}

// BenchmarkRevocationBesideContext measures revocations of keys of one Group as BenchmarkRevocation does: by an idle manager, and in turns
// with that right after the context of another Group was changed, which has KEYWARD_BENCH_KEYS keys. The second must take hardly longer: a
// context is in the record of the Group alone.
func BenchmarkRevocationBesideContext(b *testing.B) {
	before := machine()
	w := newWorld(b)
	setup := scaleSetup("one")
	m := w.lead(setup)
	w.createGroup()
	large := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "large"}}
	large.Spec.Projects = []v1alpha1.Project{{Name: "marketing"}}
	w.create(large)
	w.mint("seed", func(key *v1alpha1.ApiKey) { key.Spec.GroupRef.Name = large.Name })
	m.stop(patience)
	w.seed("seed", scaleKeys)
	m = w.lead(setup)
	validators := []*validator{w.startValidator(validatorSetup{instance: "one", flags: []string{"--log-level=info"}})}
	names := w.load(2 * scaleRevoked)
	w.awaitQuiet(time.Second)
	w.awaitIdle(m)

	objects, err := dynamic.NewForConfig(w.config)
	if err != nil {
		b.Fatal(err)
	}
	groups := objects.Resource(v1alpha1.GroupVersion.WithResource("groups")).Namespace(w.namespace)
	keys := objects.Resource(v1alpha1.GroupVersion.WithResource("apikeys")).Namespace(w.namespace)
	var quiet, busy revocations
	revoke := func(name string, into *revocations) {
		seen, refused := w.measure(keys, name, validators)
		into.seen, into.refused = append(into.seen, seen), append(into.refused, refused...)
		w.awaitKey(name, "enforced", isEnforced(1))
		w.awaitQuiet(100 * time.Millisecond)
	}
	// In turns, so that a machine that is slow for a while slows both.
	for i := range scaleRevoked {
		begin := m.sum(cpuSeconds)
		revoke(names[2*i], &quiet)
		between := m.sum(cpuSeconds)
		edit := fmt.Appendf(nil, `{"spec":{"context":{"edit":"%d"}}}`, i)
		if _, err := groups.Patch(w.ctx, large.Name, types.MergePatchType, edit, metav1.PatchOptions{}); err != nil {
			b.Fatal(err)
		}
		revoke(names[2*i+1], &busy)
		quiet.processor, busy.processor = quiet.processor+between-begin, busy.processor+m.sum(cpuSeconds)-between
	}
	fmt.Printf("\n%d revocations each, %d keys; %s\n\n", scaleRevoked, scaleKeys, before)
	fmt.Printf("| from just before the PATCH until … | p50 | p99 | max |\n|---|---|---|---|\n%s%s%s%s\n",
		row("a bare watch sees it, idle", quiet.seen), row("it is refused, idle", quiet.refused),
		row("a bare watch sees it, after an edit", busy.seen), row("it is refused, after an edit", busy.refused))
	b.ReportMetric(ratio(busy.refused, quiet.refused, 0.5), "p50-of-idle")
	b.ReportMetric(ratio(busy.refused, quiet.refused, 0.99), "p99-of-idle")
	b.ReportMetric(ratio(busy.seen, quiet.seen, 0.99), "watch-p99-of-idle")
	b.ReportMetric(1e3*(busy.processor-quiet.processor)/float64(scaleRevoked), "manager-ms/edit")
	b.ReportMetric(0, "ns/op")
}
