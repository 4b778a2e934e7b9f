package apikey_test

import (
	"context"
	"crypto/rand"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("A key whose Group grants a part of what it asks", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	// follow returns the latest record of the key that a validation server was sent; nil after a removal.
	follow := func(ctx SpecContext) func() *syncv1.Key {
		v := testenv.Validator{Subscription: testenv.Hub.Subscribe(publish.Subscriber{Instance: "v", Incarnation: rand.Text(), Selection: w.Selection()})}
		DeferCleanup(func() { v.Close(true) })
		var latest *syncv1.Key
		return func() *syncv1.Key {
			next, cancel := context.WithCancel(ctx)
			if v.CaughtUp() {
				cancel()
			}
			defer cancel()
			if update, err := v.Next(next); err == nil {
				v.Ack(update.GetRevision())
				if len(update.GetDeletedKeys()) > 0 {
					latest = nil
				}
				for _, key := range update.GetKeys() {
					latest = key
				}
			}
			return latest
		}
	}
	// goesOn requires that the key says what is missing, and is accepted nevertheless.
	goesOn := func(reason, granted string) func(Gomega, *v1alpha1.ApiKey) {
		return func(g Gomega, key *v1alpha1.ApiKey) {
			testenv.HasReason(v1alpha1.ConditionStalled, reason)(g, key)
			testenv.HasReason(v1alpha1.ConditionReady, reason)(g, key)
			g.Expect(meta.IsStatusConditionFalse(key.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
			g.Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message).To(
				ContainSubstring("goes on with what is granted: " + granted))
			testenv.HasReason(v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted)(g, key)
			g.Expect(key.Status.State).To(Equal(v1alpha1.KeyActive))
			g.Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionEnforced)).To(BeTrue())
		}
	}
	scope := func(latest func() *syncv1.Key) func() []string {
		return func() []string { return append(latest().GetProjects(), latest().GetPermissions()...) }
	}

	It("goes on with that, rotates, and is published whole when the Group has the rest", func(ctx SpecContext) {
		group, key := w.CreateGroup(ctx), w.CreateKey(ctx)
		latest := follow(ctx)
		reach := func(check func(Gomega, *v1alpha1.ApiKey)) *v1alpha1.ApiKey {
			return w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
				latest()
				check(g, k)
			})
		}
		reach(testenv.Ready)
		w.Events()
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) {
			k.Spec.Projects = []v1alpha1.ProjectName{"marketing", "sales"}
			k.Spec.Permissions = []v1alpha1.PermissionName{"read", "refund"}
		})
		reach(goesOn(v1alpha1.ReasonProjectNotFound, `projects "marketing", permissions "read"`))
		Expect(scope(latest)()).To(Equal([]string{"marketing", "read"}))
		Expect(w.Events()).To(ContainSubstring("Warning ProjectNotFound"))

		By("a key that has leaked is rotated")
		before := w.Plaintext(ctx)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) {
			k.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: "leaked;overlap=0s"}
		})
		rotated := reach(func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.LastHandledRotateRequest).To(Equal("leaked;overlap=0s"))
			goesOn(v1alpha1.ReasonProjectNotFound, `projects "marketing"`)(g, k)
		})
		Expect(rotated.Status.Versions).To(HaveLen(2))
		Expect(rotated.Status.Versions[0].State).To(Equal(v1alpha1.VersionRetired))
		Expect(w.Plaintext(ctx)).NotTo(Equal(before))
		Expect(scope(latest)()).To(Equal([]string{"marketing", "read"}))

		By("the rest is granted step by step")
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Projects = append(g.Spec.Projects, v1alpha1.Project{Name: "sales"}) })
		reach(goesOn(v1alpha1.ReasonPermissionNotFound, `projects "marketing", "sales", permissions "read"`))
		Expect(scope(latest)()).To(Equal([]string{"marketing", "sales", "read"}))
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) {
			g.Spec.Capabilities = append(g.Spec.Capabilities, v1alpha1.Capability{
				Name: "refund", Routes: []v1alpha1.Route{{Methods: []string{"POST"}, Paths: []string{"/refunds"}}},
			})
		})
		Eventually(scope(latest)).Should(Equal([]string{"marketing", "sales", "read", "refund"}), "without a reconciliation of the key")
		reach(testenv.Ready)

		By("nothing of it is left")
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Projects = []v1alpha1.Project{{Name: "product"}} })
		blocked := reach(testenv.HasReason(v1alpha1.ConditionAccepted, v1alpha1.ReasonProjectNotFound))
		Expect(blocked.Status.State).To(Equal(v1alpha1.KeyBlocked))
		Expect(meta.FindStatusCondition(blocked.Status.Conditions, v1alpha1.ConditionReady).Message).NotTo(ContainSubstring("goes on"))
		Eventually(latest).Should(BeNil())
	})

	It("goes on without the context that its Group does not let keys set, and with it later", func(ctx SpecContext) {
		group := w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.KeysMaySet = []v1alpha1.ContextName{"plan"} })
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Context = map[string]v1alpha1.ContextValue{"plan": "trial"} })
		latest := follow(ctx)
		reach := func(check func(Gomega, *v1alpha1.ApiKey)) {
			w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
				latest()
				check(g, k)
			})
		}
		published := func() map[string]string { return latest().GetContext() }
		reach(testenv.Ready)
		Expect(published()).To(Equal(map[string]string{"plan": "trial"}))
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) {
			k.Spec.Context = map[string]v1alpha1.ContextValue{"plan": "gold", "database": "globex"}
		})
		reach(goesOn(v1alpha1.ReasonContextNotAllowed, `projects "marketing", permissions "read", context "plan"`))
		Expect(published()).To(Equal(map[string]string{"plan": "gold"}))

		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.KeysMaySet = []v1alpha1.ContextName{"plan", "database"} })
		Eventually(published).Should(HaveKeyWithValue("database", "globex"), "without a reconciliation of the key")
		reach(testenv.Ready)
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.KeysMaySet = nil })
		Eventually(published).Should(BeEmpty())
		reach(goesOn(v1alpha1.ReasonContextNotAllowed, `projects "marketing", permissions "read"`))
	})

	It("is not minted before all of it is granted", func(ctx SpecContext) {
		group := w.CreateGroup(ctx)
		latest := follow(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Projects = []v1alpha1.ProjectName{"marketing", "sales"} })
		w.Clock.Step(2 * conditions.ReferenceGrace)
		blocked := w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonProjectNotFound))
		Expect(blocked.Status.State).To(Equal(v1alpha1.KeyBlocked))
		Expect(blocked.Status.Versions).To(BeEmpty())
		Expect(latest()).To(BeNil())
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Projects = append(g.Spec.Projects, v1alpha1.Project{Name: "sales"}) })
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			latest()
			testenv.Ready(g, k)
		})
	})
})
