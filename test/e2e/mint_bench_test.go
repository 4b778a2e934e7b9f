package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// mintedKeys is how many keys BenchmarkMint mints, and how many Secrets its baseline creates.
const mintedKeys = 2_000

// BenchmarkMint measures how many keys a second are minted, published to a validation server and delivered, if all are
// declared already and their Group is created last. There are two baselines: how many Secrets a second the same API server
// accepts from 32 workers, and how many keys a second if the workers do nothing but the three writes of each key. The
// manager's own client counts how many writes a key costs.
func BenchmarkMint(b *testing.B) {
	w := newWorld(b)
	m := w.lead(managerSetup{startupGrace: quick, level: "info", flags: strings.Fields(os.Getenv("KEYWARD_BENCH_MANAGER_FLAGS"))})
	w.startValidator(validatorSetup{instance: "one", flags: []string{"--log-level=info"}}).awaitReady()
	w.createKeys("key", mintedKeys).Wait()
	w.awaitReadyKeys(0) // all are known to have no Group
	for b.Loop() {
		baseline := w.createSecrets(mintedKeys)
		before := m.writes()
		begin := time.Now()
		w.createGroup()
		w.awaitReadyKeys(mintedKeys)
		took := time.Since(begin)
		w.awaitQuiet(time.Second)
		writes := float64(m.writes()-before) / mintedKeys
		mint, bare := mintedKeys/took.Seconds(), mintedKeys/baseline.Seconds()
		b.ReportMetric(mint, "keys/s")
		b.ReportMetric(bare, "baseline-secrets/s")
		b.ReportMetric(writes, "writes/key")
		b.ReportMetric(mint/(bare/writes), "of-baseline")
		m.stop(patience) // so that nobody minds what is written
		same := mintedKeys / w.writeSame().Seconds()
		b.ReportMetric(same, "bare-keys/s")
		b.ReportMetric(mint/same, "of-bare")
	}
	b.ReportMetric(0, "ns/op") // the time of a loop says nothing
}

// baselineWorkers write as fast as the API server answers.
const baselineWorkers = 32

// createSecrets has workers create so many Secrets, of the size of a key's.
func (w *world) createSecrets(n int) time.Duration {
	return w.bare(n, func(i int) error { return w.admin.Create(w.ctx, w.baselineSecret("baseline", i)) })
}

// writeSame has workers do for every key that was minted what minting writes: the status of a version that is
// pending, a Secret, the status as it is.
func (w *world) writeSame() time.Duration {
	w.t.Helper()
	list := &v1alpha1.ApiKeyList{}
	if err := w.admin.List(w.ctx, list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	return w.bare(len(list.Items), func(i int) error {
		delivered := &list.Items[i]
		pending := delivered.DeepCopy()
		pending.Status.State, pending.Status.SecretRef, pending.Status.Enforcement = v1alpha1.KeyPending, nil, nil
		pending.Status.Versions[0].State, pending.Status.Versions[0].DeliveredAt = v1alpha1.VersionPending, nil
		meta.RemoveStatusCondition(&pending.Status.Conditions, v1alpha1.ConditionEnforced)
		last := pending.DeepCopy()
		last.Status = *delivered.Status.DeepCopy()
		lock := client.MergeFromWithOptimisticLock{}
		if err := w.admin.Status().Patch(w.ctx, pending, client.MergeFromWithOptions(delivered, lock)); err != nil {
			return err
		}
		if err := w.admin.Create(w.ctx, w.baselineSecret("same", i)); err != nil {
			return err
		}
		last.ResourceVersion = pending.ResourceVersion
		return w.admin.Status().Patch(w.ctx, last, client.MergeFromWithOptions(pending, lock))
	})
}

// bare has the workers write so often.
func (w *world) bare(n int, write func(i int) error) time.Duration {
	var next atomic.Int64
	var writing sync.WaitGroup
	begin := time.Now()
	for range baselineWorkers {
		writing.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := write(int(i - 1)); err != nil {
					w.t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	return time.Since(begin)
}

func (w *world) baselineSecret(name string, i int) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: fmt.Sprintf("%s-%d", name, i),
			Labels: map[string]string{"of": "the-baseline"}},
		Data: map[string][]byte{"api-key": []byte("vctrl_0000000000000000000000000000000000000000000000000")},
	}
}

// awaitReadyKeys follows a watch until so many ApiKeys are ready; 0 waits until all have a status.
func (w *world) awaitReadyKeys(n int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 10*patience)
	defer cancel()
	list := &v1alpha1.ApiKeyList{}
	if err := w.admin.List(ctx, list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	done := map[string]bool{}
	see := func(key *v1alpha1.ApiKey) {
		if isReady(key) || n == 0 && len(key.Status.Conditions) > 0 {
			done[key.Name] = true
		}
	}
	for i := range list.Items {
		see(&list.Items[i])
	}
	want := n
	if n == 0 {
		want = len(list.Items)
	}
	watching, err := w.admin.Watch(ctx, &v1alpha1.ApiKeyList{}, client.InNamespace(w.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer watching.Stop()
	for len(done) < want {
		event, ok := <-watching.ResultChan()
		if !ok {
			w.t.Fatalf("%d of %d keys are done: the watch ended: %v", len(done), want, ctx.Err())
		}
		if key, isKey := event.Object.(*v1alpha1.ApiKey); isKey {
			see(key)
		}
	}
}

var (
	writeRequests  = regexp.MustCompile(`(?m)^rest_client_requests_total\{.*method="(?:POST|PUT|PATCH|DELETE)".*\} ([0-9.e+]+)$`)
	changeRequests = regexp.MustCompile(`(?m)^apiserver_request_total\{.*\} [0-9.e+]+$`)
	// notChanges are requests that leave nothing behind, and those of the Lease, which is renewed.
	notChanges = regexp.MustCompile(`verb="(?:GET|LIST|WATCH|CONNECT|APPLY_DRY_RUN)"|` +
		`resource="(?:leases|subjectaccessreviews|tokenreviews)"|subresource="token"|dry_run="All"`)
	cpuSeconds = regexp.MustCompile(`(?m)^process_cpu_seconds_total ([0-9.e+]+)$`)
)

// writes is how many requests the manager has made that change something, events and leases included.
func (m *manager) writes() int { return int(m.sum(writeRequests)) }

// changes are the requests that changed something, whoever sent them, but for the renewal of Leases.
func (w *world) changes() int { return w.changesOf("") }

// changesOf are those of one resource, or of all.
func (w *world) changesOf(resource string) int {
	w.t.Helper()
	body, err := w.core.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, line := range changeRequests.FindAllString(string(body), -1) {
		if !notChanges.MatchString(line) && (resource == "" || strings.Contains(line, `resource="`+resource+`"`)) {
			n, _ := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64) // the expression admits nothing else
			sum += n
		}
	}
	return int(sum)
}

// sum adds up what the expression finds among the manager's metrics.
func (m *manager) sum(which *regexp.Regexp) float64 {
	_, body, err := get("http://" + m.metrics + "/metrics")
	if err != nil {
		return 0
	}
	sum := 0.0
	for _, found := range which.FindAllStringSubmatch(body, -1) {
		n, _ := strconv.ParseFloat(found[1], 64) // the expression admits nothing else
		sum += n
	}
	return sum
}

// awaitQuiet waits until the manager has changed nothing for so long.
func (w *world) awaitQuiet(quiet time.Duration) {
	w.t.Helper()
	last, since := w.changes(), time.Now()
	eventually(w.t, "the manager to be quiet", 3*patience, func() error {
		if now := w.changes(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < quiet {
			return errors.New("it still writes")
		}
		return nil
	})
}
