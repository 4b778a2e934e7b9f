package apikey_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// kstatus is what tools that are built on kstatus, such as Flux and Argo CD's health checks, make of the objects.
var _ = Describe("kstatus", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	read := func(ctx context.Context, kind, name string) *unstructured.Unstructured {
		GinkgoHelper()
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
		Expect(testenv.Admin.Get(ctx, w.Request(name).NamespacedName, object)).To(Succeed())
		return object
	}
	compute := func(ctx context.Context, kind, name string) status.Status {
		GinkgoHelper()
		result, err := status.Compute(read(ctx, kind, name))
		Expect(err).NotTo(HaveOccurred())
		return result.Status
	}
	conditionOf := func(ctx context.Context, kind, name, of string) (conditionStatus, reason string) {
		GinkgoHelper()
		all, _, err := unstructured.NestedSlice(read(ctx, kind, name).Object, "status", "conditions")
		Expect(err).NotTo(HaveOccurred())
		for _, c := range all {
			if c, _ := c.(map[string]any); c["type"] == of {
				conditionStatus, _ = c["status"].(string)
				reason, _ = c["reason"].(string)
			}
		}
		return conditionStatus, reason
	}
	reconcilers := map[string]func(context.Context, string) error{
		"ApiKey": func(ctx context.Context, name string) error {
			_, err := w.ReconcileKey(ctx, name)
			return client.IgnoreAlreadyExists(err)
		},
		"Group":           func(ctx context.Context, name string) error { return w.ReconcileGroup(ctx, name) },
		"DomainAllowlist": func(ctx context.Context, name string) error { return w.ReconcileAllowlist(ctx, name) },
	}
	// reaches reconciles the object until it has the status, for that reason.
	reaches := func(ctx context.Context, kind, name string, want status.Status, reason string) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			g.Expect(reconcilers[kind](ctx, name)).To(Succeed())
			_, because := conditionOf(ctx, kind, name, v1alpha1.ConditionReady)
			g.Expect(because).To(Equal(reason))
			g.Expect(compute(ctx, kind, name)).To(Equal(want))
		}).Should(Succeed())
	}
	current := func(ctx context.Context) (*v1alpha1.Group, *v1alpha1.ApiKey) {
		GinkgoHelper()
		group := w.CreateGroup(ctx)
		key := w.CreateKey(ctx)
		reaches(ctx, "ApiKey", "web", status.CurrentStatus, v1alpha1.ReasonReady)
		return group, key
	}

	It("is InProgress before an object is first reconciled, and between an edit and its reconcile", func(ctx SpecContext) {
		group, key := w.CreateGroup(ctx), w.CreateKey(ctx)
		list := w.NewAllowlist()
		Expect(testenv.Admin.Create(ctx, list)).To(Succeed())
		names := map[string]string{"Group": "acme", "ApiKey": "web", "DomainAllowlist": "web"}
		for kind, name := range names {
			Expect(compute(ctx, kind, name)).To(Equal(status.InProgressStatus), "a new %s", kind)
		}
		for kind, name := range names {
			reaches(ctx, kind, name, status.CurrentStatus, v1alpha1.ReasonReady)
		}
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.DisplayName = "Acme" })
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Description = "the shop" })
		testenv.Edit(ctx, list, func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"shop.acme.example"} })
		for kind, name := range names {
			Expect(read(ctx, kind, name).GetGeneration()).To(BeEquivalentTo(2))
			Expect(compute(ctx, kind, name)).To(Equal(status.InProgressStatus), "%s, generation 2, of which 1 is observed", kind)
		}
		for kind, name := range names {
			reaches(ctx, kind, name, status.CurrentStatus, v1alpha1.ReasonReady)
		}
	})

	DescribeTable("of an ApiKey",
		func(ctx SpecContext, change func(*v1alpha1.Group, *v1alpha1.ApiKey), reason string, want status.Status, accepted bool) {
			group, key := current(ctx)
			edited := key.DeepCopy()
			change(group.DeepCopy(), edited)
			testenv.Edit(ctx, group, func(g *v1alpha1.Group) { change(g, w.NewKey()) })
			testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { change(group.DeepCopy(), k) })
			if key.Generation > 1 {
				Expect(compute(ctx, "ApiKey", "web")).To(Equal(status.InProgressStatus), "before the edit is reconciled")
			}
			reaches(ctx, "ApiKey", "web", want, reason)
			is, because := conditionOf(ctx, "ApiKey", "web", "Accepted")
			if accepted {
				Expect([]string{is, because}).To(Equal([]string{"True", "Accepted"}))
			} else {
				Expect([]string{is, because}).To(Equal([]string{"False", reason}))
			}
		},
		Entry("that is suspended", func(_ *v1alpha1.Group, k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) },
			v1alpha1.ReasonSuspended, status.CurrentStatus, false),
		Entry("that is revoked", func(_ *v1alpha1.Group, k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) },
			v1alpha1.ReasonRevoked, status.CurrentStatus, false),
		Entry("whose Group is frozen", func(g *v1alpha1.Group, _ *v1alpha1.ApiKey) { g.Spec.State = v1alpha1.GroupFrozen },
			v1alpha1.ReasonGroupFrozen, status.CurrentStatus, false),
		Entry("whose Group is suspended", func(g *v1alpha1.Group, _ *v1alpha1.ApiKey) { g.Spec.State = v1alpha1.GroupSuspended },
			v1alpha1.ReasonGroupSuspended, status.CurrentStatus, false),
		Entry("whose project is gone", func(g *v1alpha1.Group, _ *v1alpha1.ApiKey) { g.Spec.Projects = g.Spec.Projects[1:] },
			v1alpha1.ReasonProjectNotFound, status.FailedStatus, false),
		Entry("which asks for a project too much", func(_ *v1alpha1.Group, k *v1alpha1.ApiKey) {
			k.Spec.Projects = append(k.Spec.Projects, "sales")
		}, v1alpha1.ReasonProjectNotFound, status.FailedStatus, true),
		Entry("whose expiry is shortened to what its Group allows from now on", func(g *v1alpha1.Group, k *v1alpha1.ApiKey) {
			g.Spec.KeyPolicy.MaxLifetime, g.Spec.KeyPolicy.DefaultLifetime = "30d", "30d"
			k.Spec.ExpiresAfter = "30d"
		}, v1alpha1.ReasonReady, status.CurrentStatus, true),
		Entry("that has a workload which cannot be rolled", func(_ *v1alpha1.Group, k *v1alpha1.ApiKey) {
			k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "absent"}}
			k.Spec.Rotation.Trigger = "now"
		}, v1alpha1.ReasonRestartRefused, status.InProgressStatus, true),
	)

	It("of an ApiKey that has expired is Current", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "1h" })
		reaches(ctx, "ApiKey", "web", status.CurrentStatus, v1alpha1.ReasonReady)
		w.Clock.Step(2 * time.Hour)
		reaches(ctx, "ApiKey", "web", status.CurrentStatus, v1alpha1.ReasonExpired)
		is, because := conditionOf(ctx, "ApiKey", "web", "Accepted")
		Expect([]string{is, because}).To(Equal([]string{"False", v1alpha1.ReasonExpired}))
	})

	It("of an ApiKey without a Group, with a foreign Secret, or beyond the limit is Failed", func(ctx SpecContext) {
		w.CreateKey(ctx)
		Expect(reconcilers["ApiKey"](ctx, "web")).To(Succeed())
		Expect(compute(ctx, "ApiKey", "web")).To(Equal(status.InProgressStatus), "while its Group may be on its way")
		w.Clock.Step(2 * conditions.ReferenceGrace)
		reaches(ctx, "ApiKey", "web", status.FailedStatus, v1alpha1.ReasonGroupNotFound)
		group := w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = ptr.To[int32](0) })
		reaches(ctx, "ApiKey", "web", status.FailedStatus, v1alpha1.ReasonKeyLimitReached)
		foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "web"}}
		Expect(testenv.Admin.Create(ctx, foreign)).To(Succeed())
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = nil })
		reaches(ctx, "ApiKey", "web", status.FailedStatus, v1alpha1.ReasonSecretConflict)
		Expect(testenv.Admin.Delete(ctx, foreign)).To(Succeed())
		reaches(ctx, "ApiKey", "web", status.CurrentStatus, v1alpha1.ReasonReady)
	})

	It("of an ApiKey is InProgress until its servers have the change in force", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		v := w.Connect("v")
		key := w.CreateKey(ctx)
		accepted := func(want, reason string) {
			GinkgoHelper()
			is, because := conditionOf(ctx, "ApiKey", "web", "Accepted")
			Expect([]string{is, because}).To(Equal([]string{want, reason}))
		}
		reaches(ctx, "ApiKey", "web", status.InProgressStatus, v1alpha1.ReasonPublishing)
		accepted("False", "Pending")
		follow := func(reason string) {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				v.CatchUp()
				g.Expect(reconcilers["ApiKey"](ctx, "web")).To(Succeed())
				_, because := conditionOf(ctx, "ApiKey", "web", v1alpha1.ConditionReady)
				g.Expect(because).To(Equal(reason))
				g.Expect(compute(ctx, "ApiKey", "web")).To(Equal(status.CurrentStatus))
			}).Should(Succeed())
		}
		// unacknowledged waits until the status names the server that has not acknowledged.
		unacknowledged := func(reason string) {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				g.Expect(reconcilers["ApiKey"](ctx, "web")).To(Succeed())
				w.Clock.Step(time.Second)
				_, enforced := conditionOf(ctx, "ApiKey", "web", v1alpha1.ConditionEnforced)
				g.Expect(enforced).To(Equal(v1alpha1.ReasonWaitingForServers))
				is, because := conditionOf(ctx, "ApiKey", "web", v1alpha1.ConditionReady)
				g.Expect(because).To(Equal(reason))
				g.Expect(is).To(Equal("False"), "what was declared is not reached yet")
			}).Should(Succeed())
			Expect(compute(ctx, "ApiKey", "web")).To(Equal(status.InProgressStatus))
		}
		follow(v1alpha1.ReasonReady)
		accepted("True", "Accepted")

		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) })
		unacknowledged(v1alpha1.ReasonSuspended)
		accepted("False", v1alpha1.ReasonSuspended)
		follow(v1alpha1.ReasonSuspended)

		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(false) })
		Eventually(func(g Gomega) {
			g.Expect(reconcilers["ApiKey"](ctx, "web")).To(Succeed())
			w.Clock.Step(time.Second)
			_, because := conditionOf(ctx, "ApiKey", "web", v1alpha1.ConditionEnforced)
			g.Expect(because).To(Equal(v1alpha1.ReasonWaitingForServers))
		}).Should(Succeed())
		accepted("False", v1alpha1.ReasonPublishing)
		Expect(compute(ctx, "ApiKey", "web")).To(Equal(status.InProgressStatus))
		follow(v1alpha1.ReasonReady)
		accepted("True", "Accepted")

		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) })
		unacknowledged(v1alpha1.ReasonRevoked)
		follow(v1alpha1.ReasonRevoked)
		accepted("False", v1alpha1.ReasonRevoked)
	})

	It("of an ApiKey that is being deleted is Terminating", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		v := w.Connect("v")
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) { v.CatchUp(); testenv.Ready(g, key) })
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(reconcilers["ApiKey"](ctx, "web")).To(Succeed())
			w.Clock.Step(time.Second)
			_, because := conditionOf(ctx, "ApiKey", "web", v1alpha1.ConditionReady)
			g.Expect(because).To(Equal(v1alpha1.ReasonDeleting))
		}).Should(Succeed())
		Expect(compute(ctx, "ApiKey", "web")).To(Equal(status.TerminatingStatus))
		is, because := conditionOf(ctx, "ApiKey", "web", "Accepted")
		Expect([]string{is, because}).To(Equal([]string{"False", v1alpha1.ReasonDeleting}))
	})

	It("of a deleted ApiKey that the finalizer of another keeps is Terminating, and its key is revoked", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		v := w.Connect("v")
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Finalizers = []string{"example.com/backup"} })
		DeferCleanup(func(ctx SpecContext) { testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Finalizers = nil }) })
		w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) { v.CatchUp(); testenv.Ready(g, key) })
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		revoked := func(g Gomega) {
			v.CatchUp()
			g.Expect(reconcilers["ApiKey"](ctx, "web")).To(Succeed())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
			g.Expect(key.Finalizers).To(Equal([]string{"example.com/backup"}))
			g.Expect(key.Status.State).To(Equal(v1alpha1.KeyRevoked))
			g.Expect(key.Status.Versions[0].State).To(Equal(v1alpha1.VersionRevoked))
			g.Expect(key.Status.ObservedGeneration).To(Equal(key.Generation))
			for kind, want := range map[string]metav1.ConditionStatus{
				v1alpha1.ConditionReady: metav1.ConditionFalse, v1alpha1.ConditionAccepted: metav1.ConditionFalse,
				v1alpha1.ConditionEnforced: metav1.ConditionTrue,
			} {
				c := meta.FindStatusCondition(key.Status.Conditions, kind)
				g.Expect(c).NotTo(BeNil())
				g.Expect(c.Status).To(Equal(want), kind)
				g.Expect(c.ObservedGeneration).To(Equal(key.Generation), kind)
			}
			g.Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("example.com/backup"))
		}
		Eventually(revoked).Should(Succeed())
		Expect(compute(ctx, "ApiKey", "web")).To(Equal(status.TerminatingStatus))

		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) })
		Eventually(revoked).Should(Succeed())
	})

	It("of a Group is Current when its state is in force, also where it is Frozen or Suspended", func(ctx SpecContext) {
		group := w.CreateGroup(ctx)
		v := w.Connect("v")
		declare := func(state v1alpha1.GroupState, reason string) {
			GinkgoHelper()
			testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.State = state })
			Eventually(func(g Gomega) {
				v.CatchUp()
				g.Expect(reconcilers["Group"](ctx, "acme")).To(Succeed())
				is, because := conditionOf(ctx, "Group", "acme", v1alpha1.ConditionReady)
				g.Expect([]string{is, because}).To(Equal([]string{"True", reason}))
				g.Expect(compute(ctx, "Group", "acme")).To(Equal(status.CurrentStatus))
			}).Should(Succeed())
		}
		declare(v1alpha1.GroupActive, v1alpha1.ReasonReady)
		declare(v1alpha1.GroupSuspended, v1alpha1.ReasonGroupSuspended)
		declare(v1alpha1.GroupActive, v1alpha1.ReasonReady)
		declare(v1alpha1.GroupFrozen, v1alpha1.ReasonGroupFrozen)

		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.State = v1alpha1.GroupSuspended })
		Expect(compute(ctx, "Group", "acme")).To(Equal(status.InProgressStatus), "before the edit is reconciled")
		Eventually(func(g Gomega) {
			g.Expect(reconcilers["Group"](ctx, "acme")).To(Succeed())
			w.Clock.Step(time.Second)
			is, because := conditionOf(ctx, "Group", "acme", v1alpha1.ConditionReady)
			g.Expect([]string{is, because}).To(Equal([]string{"False", v1alpha1.ReasonGroupSuspended}))
		}).Should(Succeed())
		Expect(compute(ctx, "Group", "acme")).To(Equal(status.InProgressStatus), "before it is in force")
		declare(v1alpha1.GroupSuspended, v1alpha1.ReasonGroupSuspended)
	})

	It("of a DomainAllowlist without its Group is Failed", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist())).To(Succeed())
		Expect(reconcilers["DomainAllowlist"](ctx, "web")).To(Succeed())
		Expect(compute(ctx, "DomainAllowlist", "web")).To(Equal(status.InProgressStatus), "while its Group may be on its way")
		w.Clock.Step(2 * conditions.ReferenceGrace)
		reaches(ctx, "DomainAllowlist", "web", status.FailedStatus, v1alpha1.ReasonGroupNotFound)
		w.CreateGroup(ctx)
		reaches(ctx, "DomainAllowlist", "web", status.CurrentStatus, v1alpha1.ReasonReady)
	})
})
