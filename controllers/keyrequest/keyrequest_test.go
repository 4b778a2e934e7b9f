package keyrequest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	reconciler "github.com/keyward-dev/keyward/controllers/keyrequest"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

var _ = Describe("KeyRequest", func() {
	var (
		w     *testenv.World // where the Group is
		other *testenv.World // where keys are asked for
		group *v1alpha1.Group
	)
	BeforeEach(func(ctx SpecContext) {
		w, other = testenv.NewWorld(ctx), testenv.NewWorld(ctx)
		group = w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.Requests, g.Spec.AllowedNamespaces.From = v1alpha1.RequestsManual, v1alpha1.NamespacesFromAll
		})
	})

	ask := func(ctx context.Context, name string) *v1alpha1.KeyRequest {
		GinkgoHelper()
		r := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: name}}
		r.Spec.GroupRef = v1alpha1.GroupReference{Namespace: w.Namespace, Name: "acme"}
		r.Spec.Projects, r.Spec.UseCase, r.Spec.Lifetime = []v1alpha1.ProjectName{"marketing"}, "The shop", "30d"
		jane, _ := testenv.As("jane")
		Expect(jane.Create(ctx, r)).To(Succeed())
		return r
	}
	// cached waits until the manager's cache has an object as it is, or until it has none where there is none.
	cached := func(ctx context.Context, name client.ObjectKey, is, seen client.Object) {
		GinkgoHelper()
		there := testenv.Admin.Get(ctx, name, is)
		Expect(client.IgnoreNotFound(there)).To(Succeed())
		Eventually(func(g Gomega) {
			err := testenv.Manager.GetClient().Get(ctx, name, seen)
			if there != nil {
				g.Expect(err).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(seen.GetResourceVersion()).To(Equal(is.GetResourceVersion()))
		}).Should(Succeed())
	}
	// until reconciles, as watches would, until the request satisfies the matcher, and the cache has it and its review.
	until := func(ctx context.Context, name string, matcher OmegaMatcher) *v1alpha1.KeyRequest {
		GinkgoHelper()
		r := &v1alpha1.KeyRequest{}
		Eventually(func(g Gomega) {
			_, err := other.ReconcileRequest(ctx, name)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, other.Request(name).NamespacedName, r)).To(Succeed())
			g.Expect(r.Status).To(matcher)
		}).Should(Succeed())
		cached(ctx, client.ObjectKeyFromObject(r), &v1alpha1.KeyRequest{}, &v1alpha1.KeyRequest{})
		review := client.ObjectKey{Namespace: w.Namespace, Name: keyrequest.ReviewName(r.UID, group.UID)}
		cached(ctx, review, &v1alpha1.KeyRequestReview{}, &v1alpha1.KeyRequestReview{})
		return r
	}
	state := func(s v1alpha1.KeyRequestState) OmegaMatcher { return HaveField("State", s) }
	because := func(reason string) OmegaMatcher {
		return HaveField("Conditions", ContainElement(And(HaveField("Type", "Ready"), HaveField("Reason", reason))))
	}
	review := func(ctx context.Context, r *v1alpha1.KeyRequest) (*v1alpha1.KeyRequestReview, error) {
		found := &v1alpha1.KeyRequestReview{}
		err := testenv.Admin.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: keyrequest.ReviewName(r.UID, group.UID)}, found)
		return found, err
	}
	decide := func(ctx context.Context, r *v1alpha1.KeyRequest, verdict v1alpha1.Verdict) {
		GinkgoHelper()
		olga, _ := testenv.As("olga")
		Eventually(func() error {
			_, _ = other.ReconcileRequest(ctx, r.Name)
			found, err := review(ctx, r)
			if err != nil {
				return err
			}
			before := found.DeepCopy()
			found.Spec.Decision = &v1alpha1.Decision{Verdict: verdict, Reason: "We know them"}
			return olga.Patch(ctx, found, client.MergeFrom(before))
		}).Should(Succeed())
	}
	key := func(ctx context.Context, name string) (*v1alpha1.ApiKey, error) {
		found := &v1alpha1.ApiKey{}
		err := testenv.Admin.Get(ctx, other.Request(name).NamespacedName, found)
		return found, err
	}
	noKey := func(ctx context.Context, name string) {
		GinkgoHelper()
		_, err := key(ctx, name)
		Expect(err).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
	}

	It("is reviewed, approved, and gets the key that was approved", func(ctx SpecContext) {
		r := ask(ctx, "web")
		until(ctx, "web", And(state(v1alpha1.KeyRequestPending), because(v1alpha1.ReasonUndecided)))
		found, err := review(ctx, r)
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Spec.Request).To(And(HaveField("By", "jane"), HaveField("UID", r.UID)))
		Expect(found.Spec.UseCase).To(Equal("The shop"))
		noKey(ctx, "web")

		decide(ctx, r, v1alpha1.VerdictApproved)
		issued := until(ctx, "web", state(v1alpha1.KeyRequestIssued))
		Expect(issued.Status.Decided).To(ConsistOf(And(HaveField("By", "olga"), HaveField("Verdict", v1alpha1.VerdictApproved))))
		minted, err := key(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(minted.UID).To(Equal(issued.Status.Key.UID))
		Expect(metav1.IsControlledBy(minted, r)).To(BeTrue())
		Expect(minted.Spec.Projects).To(Equal(r.Spec.Projects))
		Expect(minted.Spec.Description).To(Equal("The shop"))
		Expect(minted.Spec.ExpiresAt.Time).To(BeTemporally("~", other.Clock.Now().Add(30*24*time.Hour), time.Second))

		By("revoking it when the approval is withdrawn")
		decide(ctx, r, v1alpha1.VerdictWithdrawn)
		withdrawn := until(ctx, "web", state(v1alpha1.KeyRequestWithdrawn))
		Expect(meta.FindStatusCondition(withdrawn.Status.Conditions, "Ready").Message).To(And(ContainSubstring(`"olga"`), ContainSubstring("We know them")))
		Eventually(func() bool { minted, _ = key(ctx, "web"); return ptr.Deref(minted.Spec.Revoked, false) }).Should(BeTrue())
		Expect(other.Events()).To(ContainSubstring("ApprovalWithdrawn"))
	})

	It("is refused for good", func(ctx SpecContext) {
		r := ask(ctx, "web")
		decide(ctx, r, v1alpha1.VerdictRefused)
		until(ctx, "web", And(state(v1alpha1.KeyRequestRefused), because(v1alpha1.ReasonRequestRefused)))
		found, err := review(ctx, r)
		Expect(err).NotTo(HaveOccurred())
		Expect(testenv.Admin.Delete(ctx, found)).To(Succeed())
		Consistently(func(g Gomega) { // also without its review
			_, err := other.ReconcileRequest(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			_, err = review(ctx, r)
			g.Expect(err).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
		}, "300ms").Should(Succeed())
		noKey(ctx, "web")
	})

	It("is decided by the key policy", func(ctx SpecContext) {
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.Requests, g.Spec.KeyPolicy.MaxLifetime = v1alpha1.RequestsAutomatic, "60d"
		})
		ask(ctx, "web")
		until(ctx, "web", state(v1alpha1.KeyRequestIssued))
		long := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: "long"}}
		long.Spec = v1alpha1.KeyRequestSpec{
			GroupRef: v1alpha1.GroupReference{Namespace: w.Namespace, Name: "acme"}, Projects: []v1alpha1.ProjectName{"marketing"}, UseCase: "Long", Lifetime: "61d",
		}
		Expect(testenv.Admin.Create(ctx, long)).To(Succeed())
		refused := until(ctx, "long", state(v1alpha1.KeyRequestRefused))
		Expect(refused.Status.Decided[0].Reason).To(ContainSubstring("live at most 60d"))
		noKey(ctx, "long")
	})

	It("says the same of every Group that accepts none", func(ctx SpecContext) {
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsOff })
		cached(ctx, client.ObjectKeyFromObject(group), &v1alpha1.Group{}, &v1alpha1.Group{})
		off := ask(ctx, "off")
		message := func(name string) string {
			r := until(ctx, name, And(state(v1alpha1.KeyRequestPending), because(v1alpha1.ReasonGroupNotFound)))
			return meta.FindStatusCondition(r.Status.Conditions, "Ready").Message
		}
		is := message("off")
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.Requests, g.Spec.AllowedNamespaces.From = v1alpha1.RequestsManual, v1alpha1.NamespacesFromSame
		})
		ask(ctx, "not-admitted")
		Expect(message("not-admitted")).To(Equal(is))
		Expect(testenv.Admin.Delete(ctx, group)).To(Succeed())
		ask(ctx, "no-group")
		Expect(message("no-group")).To(Equal(is))
		_, err := review(ctx, off)
		Expect(err).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
	})

	It("gets no key while requests are off, also if it is approved", func(ctx SpecContext) {
		r := ask(ctx, "web")
		until(ctx, "web", because(v1alpha1.ReasonUndecided))
		found, err := review(ctx, r)
		Expect(err).NotTo(HaveOccurred())
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsOff })
		until(ctx, "web", because(v1alpha1.ReasonGroupNotFound))
		before := found.DeepCopy()
		found.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApproved}
		Expect(testenv.Admin.Patch(ctx, found, client.MergeFrom(before))).To(Succeed())
		until(ctx, "web", And(state(v1alpha1.KeyRequestApproved), because(v1alpha1.ReasonGroupNotFound)))
		noKey(ctx, "web")
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsManual })
		until(ctx, "web", state(v1alpha1.KeyRequestIssued))
	})

	It("touches no ApiKey of the name that is another's", func(ctx SpecContext) {
		taken := other.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Namespace = w.Namespace })
		Expect(testenv.Admin.Create(ctx, taken)).To(Succeed())
		r := ask(ctx, "web")
		decide(ctx, r, v1alpha1.VerdictApproved)
		until(ctx, "web", because(v1alpha1.ReasonNameTaken))
		decide(ctx, r, v1alpha1.VerdictWithdrawn)
		until(ctx, "web", state(v1alpha1.KeyRequestWithdrawn))
		found, err := key(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(ptr.Deref(found.Spec.Revoked, false)).To(BeFalse())
		Expect(found.OwnerReferences).To(BeEmpty())
	})

	It("is over after 30 days", func(ctx SpecContext) {
		r := ask(ctx, "web")
		until(ctx, "web", because(v1alpha1.ReasonUndecided))
		result, err := other.ReconcileRequest(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeNumerically("~", keyrequest.Patience, time.Minute))
		other.Clock.Step(keyrequest.Patience + time.Minute)
		until(ctx, "web", And(state(v1alpha1.KeyRequestExpired), because(v1alpha1.ReasonRequestExpired)))
		_, err = review(ctx, r)
		Expect(err).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
	})

	It("takes its review with it", func(ctx SpecContext) {
		r := ask(ctx, "web")
		until(ctx, "web", because(v1alpha1.ReasonUndecided))
		Expect(testenv.Admin.Delete(ctx, r)).To(Succeed())
		again := ask(ctx, "web")
		until(ctx, "web", because(v1alpha1.ReasonUndecided))
		Eventually(func() error {
			_, _ = other.ReconcileRequest(ctx, "web")
			_, err := review(ctx, r)
			return err
		}).Should(MatchError(apierrors.IsNotFound, "IsNotFound"))
		_, err := review(ctx, again)
		Expect(err).NotTo(HaveOccurred())
	})

	It("has its key revoked if it is deleted without it", func(ctx SpecContext) {
		r := ask(ctx, "web")
		decide(ctx, r, v1alpha1.VerdictApproved)
		until(ctx, "web", state(v1alpha1.KeyRequestIssued))
		found, err := key(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		found.OwnerReferences = nil // as the garbage collector does with --cascade=orphan
		Expect(testenv.Admin.Update(ctx, found)).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, r)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := other.ReconcileRequest(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			found, _ := key(ctx, "web")
			g.Expect(ptr.Deref(found.Spec.Revoked, false)).To(BeTrue())
			_, err = review(ctx, r)
			g.Expect(err).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
		}).Should(Succeed())
	})

	It("does not get a second key when the first is deleted", func(ctx SpecContext) {
		r := ask(ctx, "web")
		decide(ctx, r, v1alpha1.VerdictApproved)
		until(ctx, "web", state(v1alpha1.KeyRequestIssued))
		found, err := key(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		found.Finalizers = nil
		Expect(testenv.Admin.Update(ctx, found)).To(Succeed())
		Expect(client.IgnoreNotFound(testenv.Admin.Delete(ctx, found))).To(Succeed())
		until(ctx, "web", And(state(v1alpha1.KeyRequestIssued), because(v1alpha1.ReasonKeyDeleted)))
		noKey(ctx, "web")
	})

	It("finds its key again after a crash", func(ctx SpecContext) {
		r := ask(ctx, "web")
		decide(ctx, r, v1alpha1.VerdictApproved)
		crash := true
		crashing := interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
				if crash {
					return errors.New("crash")
				}
				return c.SubResource(sub).Patch(ctx, object, patch, options...)
			},
		})
		one := &reconciler.Reconciler{Client: crashing, Live: testenv.Manager.GetAPIReader(), Recorder: other.Recorder, Clock: other.Clock}
		var first *v1alpha1.ApiKey
		Eventually(func() (err error) {
			_, _ = one.Reconcile(ctx, other.Request("web"))
			first, err = key(ctx, "web")
			return err
		}).Should(Succeed())
		crash = false
		issued := until(ctx, "web", state(v1alpha1.KeyRequestIssued))
		Expect(issued.Status.Key.UID).To(Equal(first.UID))
	})

	It("waits while 20 older ones are undecided", func(ctx SpecContext) {
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsOff })
		for i := range keyrequest.MaxUndecided {
			ask(ctx, fmt.Sprintf("r%d", i))
		}
		more := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: "more"}}
		more.Spec = v1alpha1.KeyRequestSpec{GroupRef: v1alpha1.GroupReference{Name: "nothing"}, Projects: []v1alpha1.ProjectName{"a"}, UseCase: "More"}
		Eventually(func() error { return testenv.Admin.Create(ctx, more.DeepCopy(), client.DryRunAll) }).Should(
			MatchError(ContainSubstring("older requests")))
	})
})
