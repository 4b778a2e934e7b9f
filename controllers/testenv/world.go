package testenv

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/apikey"
	"github.com/keyward-dev/keyward/controllers/domainallowlist"
	"github.com/keyward-dev/keyward/controllers/group"
	"github.com/keyward-dev/keyward/controllers/keyrequest"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/revoked"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/controllers/usage/totals"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/pkg/sealedcontext"
)

// World is a namespace with what acts in it: reconcilers that work only when a spec calls them, by a clock that
// only the spec turns.
type World struct {
	Namespace string
	Clock     *clocktesting.FakeClock
	Recorder  *events.FakeRecorder
	Usage     *usage.Tracker
	Keys      *apikey.Reconciler
	Tiers     *tier.Catalogue
	// Totals has what is used of Groups, for ReconcileGroup; nil if nothing is.
	Totals *totals.Board
	// Log keeps reviews of requests until it has their events, for ReconcileRequest; nil if there is no log.
	Log keyrequest.Log
	// Ring has the keys that seal contexts, for ReconcileGroup; nil if there are none.
	Ring func() (*sealedcontext.Ring, error)
}

// NewWorld creates a namespace.
func NewWorld(ctx context.Context) *World {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(Admin.Create(ctx, namespace)).To(Succeed())
	w := &World{
		Namespace: namespace.Name,
		Clock:     clocktesting.NewFakeClock(clock.RealClock{}.Now()),
		Recorder:  events.NewFakeRecorder(1000),
		Tiers:     Tiers,
	}
	w.Usage = usage.NewTracker(w.Clock, session.NewRegistry(w.Clock, 0))
	w.Restart()
	DeferCleanup(w.expectKnownConditions)
	return w
}

// Restart replaces the reconciler by one that remembers nothing, as that of a new process.
func (w *World) Restart() {
	w.Keys = &apikey.Reconciler{
		Client: Manager.GetClient(), APIReader: Manager.GetAPIReader(), Hub: Hub,
		Recorder: w.Recorder, Clock: w.Clock, Random: rand.Reader, Usage: w.Usage, Tiers: w.Tiers, LastUsedResolution: time.Minute,
		Seals: Seals(), Memory: Memory(w.Clock),
	}
}

// Seals is the manager's secret, as a new process reads it.
func Seals() *seal.Keeper {
	return &seal.Keeper{Reader: Manager.GetAPIReader(), Client: Manager.GetClient(), Namespace: SystemNamespace, Random: rand.Reader}
}

// Memory is what the manager has remembered, as a new process reads it.
func Memory(clk clock.PassiveClock) *revoked.Memory {
	return &revoked.Memory{Reader: Manager.GetAPIReader(), Client: Manager.GetClient(), Namespace: SystemNamespace, Clock: clk}
}

// ReconcileKey reconciles the ApiKey once.
func (w *World) ReconcileKey(ctx context.Context, name string) (reconcile.Result, error) {
	return w.Keys.Reconcile(ctx, w.Request(name))
}

// ReconcileGroup reconciles the Group once.
func (w *World) ReconcileGroup(ctx context.Context, name string) error {
	r := &group.Reconciler{Client: Manager.GetClient(), Hub: Hub, Tiers: w.Tiers, Recorder: w.Recorder, Clock: w.Clock, Totals: w.Totals,
		APIReader: Manager.GetAPIReader(), Ring: w.Ring}
	_, err := r.Reconcile(ctx, w.Request(name))
	return err
}

// ReconcileAllowlist reconciles the DomainAllowlist once.
func (w *World) ReconcileAllowlist(ctx context.Context, name string) error {
	r := &domainallowlist.Reconciler{Client: Manager.GetClient(), Recorder: w.Recorder, Clock: w.Clock}
	_, err := r.Reconcile(ctx, w.Request(name))
	return err
}

// ReconcileRequest reconciles the KeyRequest once.
func (w *World) ReconcileRequest(ctx context.Context, name string) (reconcile.Result, error) {
	r := &keyrequest.Reconciler{Client: Manager.GetClient(), Live: Manager.GetAPIReader(), Recorder: w.Recorder, Clock: w.Clock, Log: w.Log}
	return r.Reconcile(ctx, w.Request(name))
}

// Request names an object of the World's namespace.
func (w *World) Request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: w.Namespace, Name: name}}
}

// watchesAgain is longer than client-go waits before it watches again: a schema that changes ends all watches of its kind, and
// on a busy machine the first attempts fail.
const watchesAgain = 90 * time.Second

// ReconcileUntil reconciles the key, as its watches would, until the object satisfies the check.
func (w *World) ReconcileUntil(ctx context.Context, name string, check func(Gomega, *v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	GinkgoHelper()
	key := &v1alpha1.ApiKey{}
	Eventually(func(g Gomega) {
		_, err := w.ReconcileKey(ctx, name)
		g.Expect(client.IgnoreAlreadyExists(err)).NotTo(HaveOccurred())
		g.Expect(Admin.Get(ctx, w.Request(name).NamespacedName, key)).To(Succeed())
		check(g, key)
	}).WithTimeout(watchesAgain).Should(Succeed())
	w.WaitForCache(ctx, key)
	return key
}

// WaitForCache waits until the manager's cache has the key as it is, and the Secret if there is one.
func (w *World) WaitForCache(ctx context.Context, key *v1alpha1.ApiKey) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		seen := &v1alpha1.ApiKey{}
		g.Expect(Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(key), seen)).To(Succeed())
		g.Expect(seen.ResourceVersion).To(Equal(key.ResourceVersion))
		if key.Status.SecretRef != nil && key.Status.State == v1alpha1.KeyActive {
			secret := &corev1.Secret{}
			g.Expect(Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(key), secret)).To(Succeed())
		}
	}).WithTimeout(watchesAgain).Should(Succeed())
}

// CreateGroup creates the Group acme with two projects.
func (w *World) CreateGroup(ctx context.Context, change ...func(*v1alpha1.Group)) *v1alpha1.Group {
	GinkgoHelper()
	g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
	g.Spec.Projects = []v1alpha1.Project{
		{Name: "marketing", Routes: []v1alpha1.Route{{Paths: []string{"/mkt/**"}}}},
		{Name: "product", Routes: []v1alpha1.Route{{Paths: []string{"/prd/**"}}}},
	}
	for _, f := range change {
		f(g)
	}
	Expect(Admin.Create(ctx, g)).To(Succeed())
	Eventually(func(in Gomega) { // what is created next is admitted by what the manager has seen
		seen := &v1alpha1.Group{}
		in.Expect(Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(g), seen)).To(Succeed())
		in.Expect(seen.UID).To(Equal(g.UID))
	}).WithPolling(time.Millisecond).Should(Succeed())
	return g
}

// Admitting has a Group admit the other namespace while that has the label.
func Admitting(other *World) func(*v1alpha1.Group) {
	return func(g *v1alpha1.Group) {
		g.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{
			From:     v1alpha1.NamespacesFromSelector,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"admitted": other.Namespace}},
		}
		g.Spec.AllowlistsFrom = *g.Spec.AllowedNamespaces.DeepCopy()
	}
}

// NewKey is the ApiKey web of the Group acme, for its project marketing.
func (w *World) NewKey(change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "web"}}
	key.Spec.GroupRef.Name = "acme"
	key.Spec.Projects = []v1alpha1.ProjectName{"marketing"}
	for _, f := range change {
		f(key)
	}
	return key
}

// CreateKey creates it.
func (w *World) CreateKey(ctx context.Context, change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	GinkgoHelper()
	key := w.NewKey(change...)
	Expect(Admin.Create(ctx, key)).To(Succeed())
	return key
}

// Importing has an ApiKey import its text from an entry of a Secret.
func Importing(name, entry string) func(*v1alpha1.ApiKey) {
	return func(k *v1alpha1.ApiKey) {
		k.Spec.ImportFrom = &v1alpha1.ImportSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: name, Key: entry}}
	}
}

// ImportingHash has an ApiKey import a text by its hash.
func ImportingHash(text string) func(*v1alpha1.ApiKey) {
	return func(k *v1alpha1.ApiKey) {
		digest := keyformat.DigestOf(text)
		k.Spec.ImportFrom = &v1alpha1.ImportSource{SHA256: hex.EncodeToString(digest[:])}
	}
}

// NewAllowlist is the DomainAllowlist web of the Group acme, for its project marketing.
func (w *World) NewAllowlist(change ...func(*v1alpha1.DomainAllowlist)) *v1alpha1.DomainAllowlist {
	list := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "web"}}
	list.Spec.GroupRef.Name = "acme"
	list.Spec.Projects = []v1alpha1.ProjectName{"marketing"}
	list.Spec.Domains = []string{"www.acme.example"}
	for _, f := range change {
		f(list)
	}
	return list
}

// Secret is that of the ApiKey web.
func (w *World) Secret(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := Admin.Get(ctx, w.Request("web").NamespacedName, secret)
	return secret, err
}

// Plaintext is what it holds.
func (w *World) Plaintext(ctx context.Context) string {
	GinkgoHelper()
	secret, err := w.Secret(ctx)
	Expect(err).NotTo(HaveOccurred())
	return string(secret.Data[v1alpha1.SecretKeyAPIKey])
}

// Events are the texts of all events since it was last called.
func (w *World) Events() string {
	all := ""
	for {
		select {
		case event := <-w.Recorder.Events:
			all += event + "\n"
		default:
			return all
		}
	}
}

// Selects reports whether the identity is that of the World's Group.
func (w *World) Selects(identity string) bool {
	return identity == fmt.Sprintf("%s/acme", w.Namespace)
}

// Selection selects the World's Group.
func (w *World) Selection() publish.Selection {
	return publish.SelectGroups(fmt.Sprintf("%s/acme", w.Namespace))
}

// Server is a validation server of the World's Group.
func (w *World) Server(instance string) session.Server {
	return session.Server{
		Run: session.Run{ID: session.ID{Instance: instance}, Incarnation: "one"},
		Has: w.Selects, Serves: func(group string) (serves, known bool) { return w.Selects(group), true },
	}
}

// VersionUses reports that the versions, by their index, were used for allowed requests now.
func (w *World) VersionUses(key *v1alpha1.ApiKey, at ...int) *syncv1.VersionReport {
	GinkgoHelper()
	now := w.Clock.Now().UnixMilli()
	uses := &syncv1.VersionReport{ThroughMs: now}
	for _, i := range at {
		digest, err := keyformat.ParseDigest(key.Status.Versions[i].Digest)
		Expect(err).NotTo(HaveOccurred())
		uses.Versions = append(uses.Versions, &syncv1.VersionUse{Digest: digest[:], LastMs: now, Clients: []uint64{1, 2}})
	}
	return uses
}
