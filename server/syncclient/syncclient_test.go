package syncclient

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/store"
	"github.com/keyward-dev/keyward/server/usage"
	"github.com/keyward-dev/keyward/test/fakemanager"
)

// buffer is a bytes.Buffer for a logger and a test.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

type running struct {
	client *Client
	store  *store.Store
	uses   *usage.Recorder
	quotas *quota.Tracker
	rates  *ratelimit.Limiter
	logs   *buffer
	stop   func() // and wait
}

func run(t testing.TB, m *fakemanager.Manager, before ...func(*usage.Recorder)) *running {
	t.Helper()
	logs := &buffer{}
	log := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := store.Open(store.Config{Dir: t.TempDir()}, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	uses, quotas, rates := usage.New(), quota.New(prometheus.NewRegistry()), ratelimit.New(time.Now)
	for _, use := range before {
		use(uses)
	}
	client := New(Config{
		Address: m.Address, ServerName: fakemanager.ServerName, CAFile: m.CAFile, TokenFile: m.TokenFile,
		Instance: "validator-0", Groups: []string{"tenants/acme"}, Namespaces: []string{"shops"},
		UsageInterval: 10 * time.Millisecond, UsageTimeout: 10 * time.Second,
	}, s, uses, quotas, rates, log, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); client.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return &running{client, s, uses, quotas, rates, logs, stop}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("this never happened: %s", what)
		}
	}
}

func acme() *syncv1.Group {
	return &syncv1.Group{Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE}
}

// use is one request with the version.
func (r *running) use(digest keyformat.Digest) {
	request := &decision.Request{Credential: decision.Credential{Form: decision.WellFormed, Digest: digest}}
	r.uses.Used("k1", &decision.Group{Identity: "tenants/acme"}, request, time.Now(), false, netip.Addr{})
}

// TestUses: uses are reported, on each stream again, and before the goodbye.
func TestUses(t *testing.T) {
	m := fakemanager.Start(t)
	r := run(t, m)
	stream := m.Next()
	digest := keyformat.DigestOf("one")
	// reported waits for a report of the digest and of so many requests of the key, and for one that says until when the reports
	// are complete.
	reported := func(stream *fakemanager.Stream, requests uint64) {
		t.Helper()
		found, counted, complete := false, requests == 0, false
		for deadline := time.After(20 * time.Second); !found || !counted || !complete; {
			select {
			case report := <-stream.Keys:
				for _, k := range report.GetKeys() {
					counted = counted || k.GetRequests() == requests
				}
			case report := <-stream.Versions:
				for _, v := range report.GetVersions() {
					found = found || keyformat.Digest(v.GetDigest()) == digest
				}
				complete = report.GetThroughMs() > 0
			case <-deadline:
				t.Fatalf("not reported: use %t, count %t, complete %t", found, counted, complete)
			}
		}
	}
	r.use(digest)
	reported(stream, 1)
	stream.Close(status.Error(codes.Unavailable, "connect again"))
	stream = m.Next()
	reported(stream, 1)
	stream.Record(&syncv1.KeysRecorded{NowMs: time.Now().UnixMilli(),
		Keys: []*syncv1.KeyUse{{Key: "k1", Period: time.Now().UTC().Format("2006-01"), Recorded: 1}}})
	eventually(t, "what is persisted is not reported again", func() bool { return len(slices.Collect(r.uses.Keys(true))) == 0 })
	digest = keyformat.DigestOf("last")
	r.use(digest)
	r.stop()
	reported(stream, 2)
}

// TestGoodbye: a server that is stopping stays until the manager has read what it reported, however slowly that reads.
func TestGoodbye(t *testing.T) {
	m := fakemanager.Start(t)
	r := run(t, m)
	stream := m.Next()
	for revision := range 40 { // their acknowledgements are more than the manager takes before somebody asks for them
		stream.Update(&syncv1.Update{Revision: uint64(revision + 1), Groups: []*syncv1.Group{acme()}})
	}
	eventually(t, "the last update", func() bool { return r.store.Revision() == 40 })
	r.use(keyformat.DigestOf("last"))
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.stop() }()
	select {
	case <-stopped:
		t.Fatal("it has not waited")
	case <-time.After(300 * time.Millisecond): // 30 intervals
	}
	for revision := range 40 {
		stream.Acked(uint64(revision + 1))
	}
	<-stopped
	if err := stream.Goodbye(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestStream(t *testing.T) {
	m := fakemanager.Start(t)
	r := run(t, m)
	stream := m.Next()
	hello := stream.Hello
	if hello.GetInstance() != "validator-0" || hello.GetSelector().GetGroups()[0] != "tenants/acme" ||
		hello.GetSelector().GetNamespaces()[0] != "shops" || len(hello.GetKnown()) != 0 {
		t.Errorf("hello %v", hello)
	}
	stream.Send(&syncv1.Update{Revision: 3, Groups: []*syncv1.Group{acme()}})
	if r.store.Synced() {
		t.Error("synced too early")
	}
	version := []byte("of the manager")
	stream.Send(&syncv1.Update{Revision: 4, CaughtUp: true, Versions: []*syncv1.GroupVersion{{Group: "tenants/acme", Version: version}}})
	if !r.store.Synced() || r.store.Revision() != 4 || testutil.ToFloat64(r.client.metrics.connected) != 1 || r.store.LastContact().IsZero() {
		t.Error("an update that was acknowledged is not in force")
	}

	m.Restart() // with another certificate authority
	stream = m.Next()
	if known := stream.Hello.GetKnown(); len(known) != 1 || !bytes.Equal(known[0].GetVersion(), version) {
		t.Errorf("known after a reconnect: %v", known)
	}
	stream.Send(&syncv1.Update{Revision: 1, CaughtUp: true})

	go r.stop()
	if err := stream.Goodbye(); err != nil {
		t.Errorf("goodbye: %v", err)
	}
	r.stop()
	if testutil.ToFloat64(r.client.metrics.connected) != 0 {
		t.Error("still connected")
	}
}

func TestFailuresAreExplainedAndRetried(t *testing.T) {
	m := fakemanager.Start(t)
	if err := os.WriteFile(m.TokenFile, []byte("of somebody else"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, m)
	eventually(t, "an unauthenticated stream is explained",
		func() bool { return strings.Contains(r.logs.String(), "audience keyward.dev/sync") })
	m.Refuse(status.Error(codes.PermissionDenied, "may not validate"))
	m.Refuse(status.Error(codes.PermissionDenied, "may not validate"))
	if err := os.WriteFile(m.TokenFile, []byte(fakemanager.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Next().Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	logs := r.logs.String()
	if strings.Count(logs, `"WARN","msg":"no stream`) != 2 || !strings.Contains(logs, "verb validate on groups.keyward.dev") {
		t.Errorf("logged: %s", logs)
	}
	if strings.Contains(logs, fakemanager.Token) {
		t.Error("the token is logged")
	}
}

func TestMissingFilesAreNamed(t *testing.T) {
	m := fakemanager.Start(t)
	ca, err := os.ReadFile(m.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{m.CAFile, m.TokenFile} {
		if err := os.Rename(path, path+".later"); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, m)
	eventually(t, "the missing CA is named", func() bool { return strings.Contains(r.logs.String(), "--sync-ca-file") })
	if err := os.WriteFile(m.CAFile, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bad CA is named", func() bool { return strings.Contains(r.logs.String(), "no certificate in PEM") })
	if err := os.WriteFile(m.CAFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the missing token is named", func() bool { return strings.Contains(r.logs.String(), "--sync-token-file: open") })
	if err := os.Rename(m.TokenFile+".later", m.TokenFile); err != nil {
		t.Fatal(err)
	}
	m.Next().Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	if _, err := os.Stat(filepath.Dir(m.CAFile)); err != nil {
		t.Error(err)
	}
}

// TestFeatures: a server sends nothing that the manager does not know, and ignores messages that it does not know itself.
func TestFeatures(t *testing.T) {
	m := fakemanager.Start(t)
	m.Features = []syncv1.Feature{syncv1.Feature_FEATURE_VERSION_REPORTS, 99}
	r := run(t, m)
	stream := m.Next()
	r.use(keyformat.DigestOf("one"))
	r.quotas.Sent("tenants/acme", 100, time.Now())
	later := &syncv1.SyncResponse{}
	later.ProtoReflect().SetUnknown([]byte{0x9a, 0x06, 1, 'x'}) // a message of a later release
	stream.Respond(later)
	stream.Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	for found := false; !found; {
		found = len((<-stream.Versions).GetVersions()) > 0
	}
	if len(stream.Keys)+len(stream.Quotas) > 0 {
		t.Errorf("%d reports of keys and %d of quotas, which the manager does not know", len(stream.Keys), len(stream.Quotas))
	}
	if hello := stream.Hello; len(hello.GetFeatures()) != len(fakemanager.AllFeatures()) || hello.GetIncarnation() == "" {
		t.Errorf("hello %v", hello)
	}
}

// TestRejections: an acknowledgement lists what cannot be used when that has changed, and the next Hello repeats it.
func TestRejections(t *testing.T) {
	m := fakemanager.Start(t)
	run(t, m)
	stream := m.Next()
	bad := acme()
	bad.Projects = []*syncv1.Project{{Name: "default", Routes: []*syncv1.Route{{Paths: []string{"~later"}}}}}
	stream.Send(&syncv1.Update{Revision: 1, Groups: []*syncv1.Group{bad}, CaughtUp: true})
	records := stream.Rejections.GetRecords()
	if len(records) != 1 || records[0].GetKind() != syncv1.RecordKind_RECORD_KIND_GROUP || records[0].GetId() != "tenants/acme" {
		t.Fatalf("rejected %v", stream.Rejections)
	}
	stream.Send(&syncv1.Update{Revision: 2, DeletedKeys: []string{"k9"}})
	if stream.Rejections != nil {
		t.Errorf("repeated %v", stream.Rejections)
	}
	stream.Close(status.Error(codes.Unavailable, "connect again"))
	stream = m.Next()
	if len(stream.Hello.GetRejections().GetRecords()) != 1 {
		t.Errorf("hello %v", stream.Hello)
	}
	stream.Send(&syncv1.Update{Revision: 1, Groups: []*syncv1.Group{acme()}, CaughtUp: true})
	if stream.Rejections == nil || len(stream.Rejections.GetRecords()) > 0 {
		t.Errorf("once it can be used, rejected %v", stream.Rejections)
	}
}

// TestStopWithoutManager stops a client whose manager is disconnected.
func TestStopWithoutManager(t *testing.T) {
	m := fakemanager.Start(t)
	r := run(t, m)
	m.Next().Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	m.Stop()
	eventually(t, "the disconnection is noticed", func() bool { return testutil.ToFloat64(r.client.metrics.connected) == 0 })
	r.stop()
}

// BenchmarkUpdate measures the time from when the manager sends one changed key until it knows that the change is in force
// and in the journal.
func BenchmarkUpdate(b *testing.B) {
	m := fakemanager.Start(b)
	run(b, m)
	stream := m.Next()
	stream.Send(&syncv1.Update{Revision: 1, Groups: []*syncv1.Group{acme()}, CaughtUp: true})
	digest := bytes.Repeat([]byte{7}, 32)
	revision := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		revision++
		stream.Send(&syncv1.Update{Revision: revision, Keys: []*syncv1.Key{{Id: "k1", Group: "tenants/acme",
			Versions: []*syncv1.Version{{Digest: digest, Revoked: revision%2 == 0}}}}})
	}
}
