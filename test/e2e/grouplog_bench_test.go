package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// How large BenchmarkGroupLogs is; see docs/performance.md.
var (
	logGroups = fromEnvironment("KEYWARD_BENCH_GROUPS", 10_000)
	logLoad   = time.Duration(fromEnvironment("KEYWARD_BENCH_LOAD_SECONDS", 120)) * time.Second
)

// BenchmarkGroupLogs has many Groups with a log each, and measures how many objects they are, how many bytes they have in etcd, the leader's
// memory, and what is written while a validation server reports use of all Groups all the time, of which many reach 80 % of their quota.
func BenchmarkGroupLogs(b *testing.B) {
	w := newWorld(b)
	setup := managerSetup{startupGrace: quick, level: "info", patience: 5 * patience}
	m := w.lead(setup)
	b.ReportMetric(m.memory(b)/1e6, "leader-MB-before")
	begin := time.Now()
	w.createGroups(logGroups)
	b.ReportMetric(time.Since(begin).Seconds(), "s-to-create")
	w.awaitLogs(logGroups)
	b.ReportMetric(time.Since(begin).Seconds(), "s-to-all-logs")
	w.awaitQuiet(5 * time.Second)
	w.reportLogs("")
	m.stop(patience)
	m = w.lead(setup) // which has read the logs
	w.awaitIdle(m)
	b.ReportMetric(m.memory(b)/1e6, "leader-MB")
	before := w.changes()
	time.Sleep(30 * time.Second) // nothing is to happen
	b.ReportMetric(float64(w.changes()-before), "idle-writes")

	stop := w.useAll(logGroups)
	names := []string{"grouplogs", "groupusages", "groups"}
	was, since := map[string]int{}, time.Now()
	for _, name := range names {
		was[name] = w.changesOf(name)
	}
	time.Sleep(logLoad)
	for _, name := range names {
		b.ReportMetric(float64(w.changesOf(name)-was[name])/time.Since(since).Seconds(), name+"-writes/s")
	}
	b.ReportMetric(m.memory(b)/1e6, "leader-MB-under-load")
	stop()
	w.reportLogs("-under-load")
	b.ReportMetric(0, "ns/op")
}

func groupName(i int) string { return fmt.Sprintf("group-%05d", i) }

// createGroups creates Groups with a quota of bytes.
func (w *world) createGroups(n int) {
	w.t.Helper()
	var creating errgroup.Group
	creating.SetLimit(16)
	for i := range n {
		creating.Go(func() error {
			group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: groupName(i)}}
			group.Spec.Limits.BytesPerMonth = ptr.To(resource.MustParse("1G"))
			return w.tryCreate(group)
		})
	}
	if err := creating.Wait(); err != nil {
		w.t.Fatal(err)
	}
}

// awaitLogs waits until so many Groups have a log.
func (w *world) awaitLogs(n int) {
	w.t.Helper()
	eventually(w.t, "the logs", 15*patience, func() error {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GroupLogList"))
		if err := w.admin.List(w.ctx, list, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		if len(list.Items) < n {
			time.Sleep(5 * time.Second) // the list is large
			return fmt.Errorf("%d of %d", len(list.Items), n)
		}
		return nil
	})
}

// reportLogs reports what etcd has of the logs and heads.
func (w *world) reportLogs(suffix string) {
	b, isB := w.t.(*testing.B)
	if !isB {
		return
	}
	objects, size := map[string]int{}, map[string]int{}
	for key, value := range w.etcd() {
		parts := strings.Split(key, "/")
		if i := slices.Index(parts, "keyward.dev"); i >= 0 && strings.Contains(key, "/"+w.namespace+"/") {
			objects[parts[i+1]]++
			size[parts[i+1]] += len(value)
		}
	}
	for _, kind := range []string{"grouplogs", "groupusages"} {
		b.ReportMetric(float64(objects[kind]), kind+suffix)
		b.ReportMetric(float64(size[kind])/1e6, kind+"-MB"+suffix)
	}
}

// useAll reports use of all Groups, more every two seconds, as a validation server does.
func (w *world) useAll(n int) (stop func()) {
	w.t.Helper()
	secure, token := w.syncCredentials()
	conn, err := grpc.NewClient(w.syncAddress, grpc.WithTransportCredentials(secure))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(w.ctx, "authorization", "Bearer "+token))
	stream, err := syncv1.NewSyncServiceClient(conn).Sync(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var sending sync.Mutex
	send := func(request *syncv1.SyncRequest) error {
		sending.Lock()
		defer sending.Unlock()
		return stream.Send(request)
	}
	hello := &syncv1.Hello{Instance: "load", Incarnation: "load",
		Features: []syncv1.Feature{syncv1.Feature_FEATURE_REJECTIONS, syncv1.Feature_FEATURE_QUOTAS}}
	if err := send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Hello{Hello: hello}}); err != nil {
		w.t.Fatal(err)
	}
	current := make(chan struct{})
	var running errgroup.Group
	running.Go(func() error {
		for known := false; ; {
			response, err := stream.Recv()
			if err != nil {
				return err
			}
			if update := response.GetUpdate(); update != nil {
				ack := &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Revision: update.GetRevision()}}
				if err := send(&syncv1.SyncRequest{Message: ack}); err != nil {
					return err
				}
				if update.GetCaughtUp() && !known {
					known = true
					close(current)
				}
			}
		}
	})
	<-current
	running.Go(func() error {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		for bytes := uint64(40e6); ctx.Err() == nil; bytes += 40e6 {
			for chunk := range slices.Chunk(all, 1000) {
				report := &syncv1.QuotaReport{}
				for _, i := range chunk {
					report.Groups = append(report.Groups, &syncv1.GroupUse{
						Group: w.namespace + "/" + groupName(i), Period: quotaledger.MonthOf(time.Now()).String(), Requests: bytes / 1e5, Bytes: bytes,
					})
				}
				if err := send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Quotas{Quotas: report}}); err != nil {
					return err
				}
			}
			select {
			case <-time.After(2 * time.Second):
			case <-ctx.Done():
			}
		}
		return nil
	})
	return func() {
		broken := ctx.Err() == nil
		cancel()
		if err := running.Wait(); !broken && err != nil && !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
		_ = conn.Close()
	}
}
