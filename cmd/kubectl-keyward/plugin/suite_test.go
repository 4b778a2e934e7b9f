package plugin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/apikey"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/group"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/revoked"
	"github.com/keyward-dev/keyward/controllers/seal"
	validators "github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/tier"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// now is the time in tests that print times.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// live is the namespace of the real controllers. In other namespaces, tests write the status.
const live = "live"

// All tests share the API server. Each has its own namespace.
var (
	environment *envtest.Environment
	kubeconfig  string
	admin       client.WithWatch
	hub         *publish.Hub
)

func TestMain(m *testing.M) {
	flag.Parse()
	muteLibraries()
	completionPatience = time.Minute // what is completed is tested, not how soon
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(m.Run()) // without a cluster, whose processes would keep the pipes of a fuzz worker open for ever
	}
	code, err := suite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func suite(m *testing.M) (code int, err error) {
	environment = &envtest.Environment{CRDDirectoryPaths: []string{"../../../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	config, err := environment.Start()
	if err != nil {
		return 0, err
	}
	defer func() { _ = environment.Stop() }()
	dir, err := os.MkdirTemp("", "keyward-plugin")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, environment.KubeConfig, 0o600); err != nil {
		return 0, err
	}
	if admin, err = client.NewWithWatch(config, client.Options{Scheme: scheme()}); err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	mgr, err := manager(ctx)
	if err != nil {
		stop()
		return 0, err
	}
	go func() { stopped <- mgr.Start(ctx) }()
	<-hub.Opened()
	code = m.Run()
	stop()
	return code, <-stopped
}

// manager runs the real controllers for one namespace.
func manager(ctx context.Context) (ctrl.Manager, error) {
	if err := admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: live}}); err != nil {
		return nil, err
	}
	cached := controllers.CacheOptions()
	cached.DefaultNamespaces = map[string]ctrlcache.Config{live: {}}
	mgr, err := ctrl.NewManager(environment.Config, ctrl.Options{
		Scheme: controllers.Scheme(), Cache: cached, Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		return nil, err
	}
	if err := cache.RegisterIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return nil, err
	}
	sessions := validators.NewRegistry(clock.RealClock{}, 0)
	hub = publish.NewHub(clock.RealClock{}, sessions, publish.Options{})
	recorder := mgr.GetEventRecorder("keyward")
	seals := &seal.Keeper{Reader: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespace: live, Random: rand.Reader}
	for _, reconciler := range []interface{ Setup(ctrl.Manager) error }{
		&apikey.Reconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Hub: hub,
			Usage: usage.NewTracker(clock.RealClock{}, sessions), Tiers: tier.Builtin(),
			Recorder: recorder, Clock: clock.RealClock{}, Random: rand.Reader, LastUsedResolution: time.Minute,
			Seals:  seals,
			Memory: &revoked.Memory{Reader: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespace: live, Clock: clock.RealClock{}},
		},
		&group.Reconciler{Client: mgr.GetClient(), Hub: hub, Tiers: tier.Builtin(), Recorder: recorder, Clock: clock.RealClock{}},
	} {
		if err := reconciler.Setup(mgr); err != nil {
			return nil, err
		}
	}
	return mgr, mgr.Add(&publish.Projector{Hub: hub, Cache: mgr.GetCache(), Seals: seals})
}

// server adds a validation server for the Group of the test to the hub.
func server(t *testing.T, name string) *publish.Subscription {
	t.Helper()
	s := hub.Subscribe(publish.Subscriber{Instance: name, Incarnation: rand.Text(),
		Selection: publish.SelectGroups(live + "/" + strings.ToLower(t.Name()))})
	t.Cleanup(func() { s.Close(true) })
	return s
}

// obey acknowledges everything, until the returned function is called.
func obey(t *testing.T, s *publish.Subscription) (silence func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			update, err := s.Next(ctx)
			if err != nil {
				return
			}
			s.Ack(update.GetRevision())
		}
	}()
	silence = func() { stop(); <-done }
	t.Cleanup(silence)
	return silence
}

// result is the outcome of a command.
type result struct {
	code     int
	out, err string
}

// keyward runs a command at the time now, with a standard input.
func keyward(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return keywardAt(t, func() time.Time { return now }, stdin, args...)
}

func keywardAt(t *testing.T, clock func() time.Time, stdin string, args ...string) result {
	t.Helper()
	return heard(t, clock, stdin, func(string) {}, args...)
}

// heard runs the plugin, and passes each line of its progress to a function when it is written.
func heard(t *testing.T, clock func() time.Time, stdin string, hear func(said string), args ...string) result {
	t.Helper()
	var out, problems bytes.Buffer
	a := &app{streams: genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out,
		ErrOut: io.MultiWriter(&problems, hearing(hear))}, now: clock}
	code := run(t.Context(), a, append(args, "--kubeconfig", kubeconfig, "--cache-dir", t.TempDir()), "test")
	return result{code, out.String(), problems.String()}
}

// hearing is a writer that calls a function with each text.
type hearing func(said string)

// Write implements io.Writer.
func (h hearing) Write(said []byte) (int, error) {
	h(string(said))
	return len(said), nil
}

// expect fails if the exit code is another, or if the output lacks one of the parts.
func (r result) expect(t *testing.T, code int, parts ...string) result {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	for _, part := range parts {
		if !strings.Contains(r.out+r.err, part) {
			t.Errorf("no %q in\n%s%s", part, r.out, r.err)
		}
	}
	return r
}

// lacks fails if any output contains the text.
func (r result) lacks(t *testing.T, text string) result {
	t.Helper()
	if text == "" || strings.Contains(r.out, text) || strings.Contains(r.err, text) {
		t.Errorf("the output holds what it must not:\n%s%s", r.out, r.err)
	}
	return r
}

// golden compares the output with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// golden returns everything that the command wrote, as a golden file has it.
func (r result) golden(t *testing.T, name string) {
	t.Helper()
	golden(t, name, fmt.Sprintf("%s--- standard error\n%s--- exit code %d\n", r.out, r.err, r.code))
}

// read decodes the output of -o json.
func read[T any](t *testing.T, r result) T {
	t.Helper()
	var document T
	if err := json.Unmarshal([]byte(r.out), &document); err != nil {
		t.Fatalf("%v\n%s%s", err, r.out, r.err)
	}
	return document
}

func namespace(t *testing.T, name string) {
	t.Helper()
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
}

// mint returns a key that is the same in every run.
func mint(t *testing.T, seed byte) keyformat.Key {
	t.Helper()
	key, err := keyformat.Mint("acme", bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }

const day = 24 * time.Hour

// version returns a version that was minted and delivered at an instant.
func version(t *testing.T, id int64, state v1alpha1.VersionState, minted time.Duration) v1alpha1.KeyVersion {
	t.Helper()
	key := mint(t, byte(id))
	return v1alpha1.KeyVersion{
		ID: id, State: state, Preview: key.Preview(), Digest: key.Digest().String(),
		MintedAt: *at(minted), DeliveredAt: at(minted), ExpiresAt: at(minted + 90*day),
	}
}

// object creates an ApiKey with a status that the test sets.
func object(t *testing.T, namespace, name string, change func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	t.Helper()
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	key.Spec.GroupRef.Name = "acme"
	key.Spec.Projects = []v1alpha1.ProjectName{"marketing"}
	key.Status = v1alpha1.ApiKeyStatus{
		KeyID: "k-" + name, State: v1alpha1.KeyActive, CreatedBy: "jane@acme.example",
		Versions:    []v1alpha1.KeyVersion{version(t, 1, v1alpha1.VersionActive, -day)},
		Enforcement: &v1alpha1.Enforcement{Servers: ptr.To[int32](2), Acknowledged: ptr.To[int32](2), Latency: "3.9ms", Record: "r1"},
	}
	condition(key, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady,
		"the key is accepted, and delivered in Secret "+name)
	condition(key, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "validation servers accept the key")
	condition(key, v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonAcknowledged, "in force on 2 of 2 validation servers")
	change(key)
	if n := len(key.Status.Versions); n > 0 && key.Status.Preview == "" {
		key.Status.Preview, key.Status.ExpiresAt = key.Status.Versions[n-1].Preview, key.Status.Versions[n-1].ExpiresAt
	}
	status := key.Status
	if err := admin.Create(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	key.Status = status
	if err := admin.Status().Update(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return key
}

func condition(key *v1alpha1.ApiKey, kind string, status metav1.ConditionStatus, reason, message string) {
	for i := range key.Status.Conditions {
		if c := &key.Status.Conditions[i]; c.Type == kind {
			c.Status, c.Reason, c.Message = status, reason, message
			return
		}
	}
	key.Status.Conditions = append(key.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: 1, LastTransitionTime: *at(-day),
	})
}

// eventually waits until the check holds.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !check() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-ticker.C:
		}
	}
}

func keywardRaw(t *testing.T, args ...string) result {
	t.Helper()
	var out, problems bytes.Buffer
	a := &app{streams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &problems}, now: time.Now}
	code := run(t.Context(), a, args, "test")
	return result{code, out.String(), problems.String()}
}

func splitLines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// rights is a client that also writes Roles.
func rights(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(environment.Config, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keyOf(namespace, name string) client.ObjectKey {
	return client.ObjectKey{Namespace: namespace, Name: name}
}
