package e2e

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// How large BenchmarkScale is; see docs/performance.md.
var (
	scaleKeys    = fromEnvironment("KEYWARD_BENCH_KEYS", 100_000)
	scaleServers = fromEnvironment("KEYWARD_BENCH_SERVERS", 1_000)
	scaleRevoked = fromEnvironment("KEYWARD_BENCH_REVOCATIONS", 100)
	scaleIdle    = time.Duration(fromEnvironment("KEYWARD_BENCH_IDLE_SECONDS", 600)) * time.Second
)

func fromEnvironment(name string, byDefault int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return byDefault
}

// BenchmarkScale puts one manager before many keys and many validation servers: real streams over real
// connections, but of clients that decide nothing, all in this process. One of them takes nothing more once it is
// current. It measures
//
//   - from the PATCH of a revocation until the servers have it, and until a bare watch of the object does, among all of
//     them and with only one server there;
//   - what a server receives that has everything already, and one that has nothing;
//   - the manager's memory;
//   - what is written while nothing happens;
//   - how long it takes until all servers are current again after the manager was killed and its container started
//     again, and after it was killed for good while another replica waited.
func BenchmarkScale(b *testing.B) {
	w := newWorld(b)
	setup := scaleSetup("one")
	m := w.lead(setup)
	w.createGroup()
	w.mint("seed")
	m.stop(patience)
	names := w.seed("seed", scaleKeys)

	begin := time.Now()
	m = w.lead(setup)
	first := w.subscribe("first", 0)
	b.ReportMetric(time.Since(begin).Seconds(), "s-to-first-current")
	w.awaitQuiet(time.Second)
	alone, _ := w.revokeAtScale(names[scaleRevoked:2*scaleRevoked], &fleet{servers: make([]*scaleServer, 1)}) // nobody but the first is there
	fleet := w.startFleet(first)
	fleet.awaitCurrent()
	whole, err := first.bytes.Stat()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(whole.Size()), "snapshot-B")
	b.ReportMetric(float64(fleet.servers[0].received.Load()), "reconnect-B")
	close(fleet.stall)

	w.awaitQuiet(time.Second)
	baseline, each := w.revokeAtScale(names[:scaleRevoked], fleet)
	fmt.Printf("\n| from just before the PATCH until … | p50 | p99 | max |\n|---|---|---|---|\n%s%s%s\n",
		row("a bare watch sees it, with one server", alone), row("a bare watch sees it, with all", baseline), row("a server has it", each))
	b.ReportMetric(ratio(each, alone, 0.99), "p99-of-one")
	b.ReportMetric(ratio(each, baseline, 0.99), "p99-of-baseline")

	w.awaitQuiet(40 * time.Second) // until the server that takes nothing is given up
	b.ReportMetric(m.memory(b)/1e6, "leader-MB")
	before := w.changes()
	time.Sleep(scaleIdle) // nothing is to happen
	b.ReportMetric(float64(w.changes()-before), "idle-writes")

	fleet.mark()
	m.kill()
	begin = time.Now()
	m = w.startManager(setup)
	fleet.awaitCurrent()
	b.ReportMetric(time.Since(begin).Seconds(), "s-restart-to-current")

	standby := w.startManager(scaleSetup("two"))
	w.awaitReady(standby)
	w.awaitIdle(m)
	w.awaitIdle(standby)
	fleet.mark()
	m.kill()
	begin = time.Now()
	fleet.awaitCurrent()
	b.ReportMetric(time.Since(begin).Seconds(), "s-takeover-to-current")
	b.ReportMetric(0, "ns/op")
}

// scaleSetup is a replica as it is deployed, with the identity of its Pod.
func scaleSetup(pod string) managerSetup {
	return managerSetup{
		startupGrace: quick, level: "info", elect: true, patience: 5 * patience,
		environment: []string{"GOMEMLIMIT=" + cmp.Or(os.Getenv("KEYWARD_BENCH_GOMEMLIMIT"), "1260MiB"), "POD_NAME=keyward-manager-" + pod, "POD_UID=" + pod},
		flags:       strings.Fields(os.Getenv("KEYWARD_BENCH_MANAGER_FLAGS")),
	}
}

// awaitIdle waits until the manager has read everything, and does next to nothing.
func (w *world) awaitIdle(m *manager) {
	w.t.Helper()
	last, at := m.sum(cpuSeconds), time.Now()
	eventually(w.t, "the manager to have nothing to do", 5*patience, func() error {
		if time.Since(at) < 3*time.Second {
			return errors.New("too soon to tell")
		}
		spent := (m.sum(cpuSeconds) - last) / time.Since(at).Seconds()
		last, at = m.sum(cpuSeconds), time.Now()
		if spent > 0.1 {
			return fmt.Errorf("it is busy: %.2f processors", spent)
		}
		return nil
	})
}

// fleet is many validation servers as the manager sees them.
type fleet struct {
	*world

	first    *subscriber // which holds what they all do
	servers  []*scaleServer
	secure   credentials.TransportCredentials
	token    string
	stall    chan struct{} // closed when the first server is to take nothing more
	arrivals chan arrival
}

// arrival is a revocation that has reached a server.
type arrival struct {
	key string
	at  time.Time
}

type scaleServer struct {
	instance string
	received atomic.Int64 // bytes
	current  atomic.Int64 // how often it has become current
	marked   int64        // of these, how often before the mark
}

// startFleet connects all servers, which hold what the first does, for as long as the test lasts.
func (w *world) startFleet(first *subscriber) *fleet {
	w.t.Helper()
	f := &fleet{world: w, first: first, stall: make(chan struct{}), arrivals: make(chan arrival, 2*scaleServers)}
	f.secure, f.token = w.syncCredentials()
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(func() { cancel(); running.Wait() })
	for i := range scaleServers {
		s := &scaleServer{instance: fmt.Sprintf("server-%05d", i)}
		f.servers = append(f.servers, s)
		running.Go(func() {
			for ctx.Err() == nil {
				if err := f.connect(ctx, s); err != nil && ctx.Err() == nil {
					time.Sleep(time.Second) // as a validation server pauses
				}
			}
		})
	}
	return f
}

// syncCredentials are how a validation server connects to the leader, and its token.
func (w *world) syncCredentials() (secure credentials.TransportCredentials, token string) {
	w.t.Helper()
	authority, err := os.ReadFile(filepath.Join(w.ca.Dir, caFile))
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile(w.validatorToken.Path())
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "keyward-sync." + systemNamespace + ".svc", MinVersion: tls.VersionTLS13}),
		strings.TrimSpace(string(text))
}

// connect is one stream until it ends.
func (f *fleet) connect(ctx context.Context, s *scaleServer) error {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+f.token))
	defer cancel()
	conn, err := grpc.NewClient(f.syncAddress, grpc.WithTransportCredentials(f.secure), grpc.WithStatsHandler(s))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stream, err := syncv1.NewSyncServiceClient(conn).Sync(ctx)
	if err != nil {
		return err
	}
	known, err := f.first.Begin()
	if err != nil {
		return err
	}
	hello := &syncv1.Hello{Instance: s.instance, Incarnation: "scale", Known: known}
	if err := stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Hello{Hello: hello}}); err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		update := response.GetUpdate()
		if update == nil {
			continue
		}
		for _, key := range update.GetKeys() {
			if len(key.GetVersions()) > 0 && key.GetVersions()[0].GetRevoked() {
				select {
				case f.arrivals <- arrival{key.GetId(), time.Now()}:
				default: // nobody waits for it
				}
			}
		}
		ack := &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Revision: update.GetRevision()}}
		if err := stream.Send(&syncv1.SyncRequest{Message: ack}); err != nil {
			return err
		}
		if update.GetCaughtUp() {
			s.current.Add(1)
		}
		if s == f.servers[0] {
			select {
			case <-f.stall:
				<-ctx.Done()
			default:
			}
		}
	}
}

// TagRPC implements stats.Handler.
func (*scaleServer) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (s *scaleServer) HandleRPC(_ context.Context, event stats.RPCStats) {
	if in, ok := event.(*stats.InPayload); ok {
		s.received.Add(int64(in.WireLength))
	}
}

// TagConn implements stats.Handler.
func (*scaleServer) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (*scaleServer) HandleConn(context.Context, stats.ConnStats) {}

// mark is from when on awaitCurrent waits.
func (f *fleet) mark() {
	for _, s := range f.servers {
		s.marked = s.current.Load()
	}
}

// awaitCurrent waits until all servers but the first, which may be stalled, have become current since the mark.
func (f *fleet) awaitCurrent() {
	f.t.Helper()
	eventually(f.t, "all servers to be current", 5*patience, func() error {
		missing := 0
		for _, s := range f.servers[1:] {
			if s.current.Load() <= s.marked {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d are not", missing)
		}
		return nil
	})
}

// revokeAtScale revokes keys one after the other, and returns how long it took until a watch and each server knew.
func (w *world) revokeAtScale(names []string, f *fleet) (baseline, each []time.Duration) {
	w.t.Helper()
	objects, err := dynamic.NewForConfig(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	keys := objects.Resource(v1alpha1.GroupVersion.WithResource("apikeys")).Namespace(w.namespace)
	for _, name := range names {
		watching, err := keys.Watch(w.ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
		if err != nil {
			w.t.Fatal(err)
		}
		ready, observed := make(chan struct{}, 1), make(chan time.Time, 1)
		go func() { observed <- whenSeen(w.ctx, watching, ready) }()
		<-ready
		begin := time.Now()
		object, err := keys.Patch(w.ctx, name, types.MergePatchType, []byte(`{"spec":{"revoked":true}}`), metav1.PatchOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		id, timeout := publish.KeyID(object.GetUID()), time.After(patience)
		for informed := 1; informed < len(f.servers); {
			select {
			case a := <-f.arrivals:
				if a.key == id {
					each, informed = append(each, a.at.Sub(begin)), informed+1
				}
			case <-timeout:
				w.t.Fatalf("%d of %d servers know that %s is revoked", informed, len(f.servers), name)
			}
		}
		baseline = append(baseline, (<-observed).Sub(begin))
		watching.Stop()
	}
	return baseline, each
}
