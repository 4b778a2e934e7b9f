package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/hack/run/mounts"
	"github.com/keyward-dev/keyward/test/rogue"
)

// Bounds of the effect that rogues may have on the leader and on other tenants.
const (
	rogueDelivery = 10 * time.Second
	// rogueMemory is what a garbage collection more or less makes of 70 to 120 MB of resident memory, and far less than what clients without
	// bounds would take: each message that they send is up to 4 MiB.
	rogueMemory = 32 << 20
)

// TestRogues runs two hostile clients of the sync port: one without any right, and one with Groups of its own. Meanwhile
// keys of another tenant are delivered, one of its overlaps ends early, and the leader's memory does not grow.
func TestRogues(t *testing.T) {
	w := newWorld(t)
	// Its memory is measured, without copies of all objects.
	environment := []string{"KUBE_CACHE_MUTATION_DETECTOR=false"}
	m := w.lead(managerSetup{level: "info", environment: environment, flags: []string{"--last-used-resolution=1s"}})
	content := w.contentServer()
	v := w.startValidator(validatorSetup{instance: "one", upstream: content.URL, flags: []string{"--usage-interval=1s"}})
	v.awaitReady()
	w.createGroup()
	for i := range 20 { // so that what is first needed is there
		w.mint(fmt.Sprint("warm-", i))
	}
	old := w.mint("early", func(key *v1alpha1.ApiKey) {
		key.Spec.Rotation.Overlap, key.Spec.Rotation.RetireWhenUnusedFor = "120s", "10s"
	})
	v.uses(t, old)
	stranger, tenant := w.rogue("stranger", false), w.rogue("tenant", true)
	w.awaitQuiet(2 * time.Second)
	before := m.memory(t)

	ctx, stop := context.WithCancel(w.ctx)
	var running sync.WaitGroup
	defer func() { stop(); running.Wait() }()
	for _, r := range []*rogue.Client{stranger, tenant} {
		running.Go(func() { r.Everything(ctx) })
	}
	slowest, most := time.Duration(0), 0.0
	for i := range 10 {
		begin := time.Now()
		key := w.mint(fmt.Sprint("web-", i))
		took := time.Since(begin)
		slowest, most = max(slowest, took), max(most, m.memory(t)-before)
		if took > rogueDelivery {
			t.Errorf("a key is delivered after %s", took)
		}
		v.requires(t, key, "allowed")
		minted := w.awaitKey(fmt.Sprint("web-", i), "published", func(key *v1alpha1.ApiKey) bool { return key.Status.Enforcement != nil })
		if e := minted.Status.Enforcement; len(e.Disconnected)+len(e.WaitingFor) > 0 || *e.Servers != 1 {
			t.Errorf("rogues are in its status: %+v", e)
		}
	}
	w.rotateNow("early")
	v.uses(t, w.plaintext("early"))
	retired, full := w.awaitRetired("early")
	if !retired.Before(full.Add(-time.Minute)) {
		t.Errorf("an overlap that was to end early, before %s, ended at %s", full, retired)
	}
	most = max(most, m.memory(t)-before)
	t.Logf("slowest delivery %s; memory %.1f MB before, and %.1f MB more at most", slowest, before/1e6, most/1e6)
	if most > rogueMemory {
		t.Errorf("the leader's memory has grown by %.1f MB", most/1e6)
	}
}

// rogue is a ServiceAccount in a namespace of its own, with Groups there that it may validate, or with nothing.
func (w *world) rogue(name string, rights bool) *rogue.Client {
	w.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rogue-"}}
	w.create(namespace)
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: name}})
	if rights {
		for i := range 3 {
			w.create(&v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: fmt.Sprint("own-", i)}})
		}
		w.create(&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "keyward-validator"},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace.Name, Name: name}},
		})
	}
	token := mounts.Token{Namespace: namespace.Name, ServiceAccount: name, Audience: v1alpha1.SyncAudience, Dir: w.path(name, namespace.Name)}
	if err := token.Project(w.ctx, w.core, complain); err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile(token.Path())
	if err != nil {
		w.t.Fatal(err)
	}
	authority, err := os.ReadFile(filepath.Join(w.ca.Dir, caFile))
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &rogue.Client{
		Address: w.syncAddress, Token: strings.TrimSpace(string(text)), Instance: name,
		TLS: credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "keyward-sync." + systemNamespace + ".svc",
			MinVersion: tls.VersionTLS13}),
	}
}
