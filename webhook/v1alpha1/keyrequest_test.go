package v1alpha1_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

// writesReviews is every right to KeyRequestReviews, without the verb approve.
var writesReviews = rbacv1.PolicyRule{
	APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"keyrequestreviews"},
	Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete"},
}

// asking is a request for a key of a Group.
func asking(namespace, name string, group v1alpha1.GroupReference) *v1alpha1.KeyRequest {
	request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	request.Spec = v1alpha1.KeyRequestSpec{GroupRef: group, Projects: []v1alpha1.ProjectName{"marketing"}, UseCase: "The shop"}
	return request
}

// reviewed is a review as the manager creates it, of a request that was made for it.
func reviewed(ctx context.Context, group *v1alpha1.Group, request *v1alpha1.KeyRequest) *v1alpha1.KeyRequestReview {
	GinkgoHelper()
	if request.UID == "" {
		request.UID, request.CreationTimestamp = types.UID(request.Name), metav1.Unix(1e9, 0)
	}
	review := keyrequest.NewReview(request, group)
	Expect(testenv.Admin.Create(ctx, review)).To(Succeed())
	return review
}

// deciding patches the decision of a review as a user.
func deciding(ctx context.Context, as client.Client, review *v1alpha1.KeyRequestReview, verdict v1alpha1.Verdict, reason string) error {
	patch := fmt.Sprintf(`{"spec":{"decision":{"verdict":%q,"reason":%q}}}`, verdict, reason)
	return as.Patch(ctx, review, client.RawPatch(types.MergePatchType, []byte(patch)))
}

var _ = Describe("Requests for keys", func() {
	var (
		w     *testenv.World
		group *v1alpha1.Group
	)
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		group = w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsManual })
	})
	here := func(name string) *v1alpha1.KeyRequest {
		return asking(w.Namespace, name, v1alpha1.GroupReference{Name: "acme"})
	}
	userOf := func(name string) string { return "system:serviceaccount:" + w.Namespace + ":" + name }

	It("are stamped with who made them, and keep that", func(ctx SpecContext) {
		jane, _ := testenv.As("jane")
		request := here("web")
		request.Annotations = map[string]string{v1alpha1.AnnotationCreatedBy: "the-chief"}
		Expect(jane.Create(ctx, request)).To(Succeed())
		Expect(request.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCreatedBy, "jane"))
		olga, _ := testenv.As("olga")
		request.Annotations[v1alpha1.AnnotationCreatedBy] = "olga"
		Expect(olga.Update(ctx, request)).To(Succeed())
		Expect(request.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCreatedBy, "jane"))
		delete(request.Annotations, v1alpha1.AnnotationCreatedBy)
		Expect(olga.Update(ctx, request)).To(Succeed())
		Expect(request.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCreatedBy, "jane"))
	})

	DescribeTable("are stamped with how they were made and decided about, and keep that",
		func(ctx SpecContext, user, manager string, via v1alpha1.Via) {
			const name = v1alpha1.AnnotationCreatedVia
			forged := v1alpha1.ViaGitOps
			if via == forged {
				forged = v1alpha1.ViaKubectl
			}
			as, warned := testenv.As(user)
			request := here("web")
			request.Annotations = map[string]string{name: string(forged)}
			Expect(as.Create(ctx, request, client.FieldOwner(manager))).To(Succeed())
			Expect(request.Annotations).To(HaveKeyWithValue(name, string(via)))
			olga, heard := testenv.As("olga")
			for _, patch := range []string{`{"keyward.dev/created-via":"` + string(forged) + `"}`, `{"keyward.dev/created-via":null}`, `{"keyward.dev/created-via":""}`} {
				Expect(olga.Patch(ctx, request, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":`+patch+`}}`)),
					client.FieldOwner("other"))).To(Succeed())
				Expect(request.Annotations).To(HaveKeyWithValue(name, string(via)), patch)
			}
			Expect(heard.Texts).To(ContainElement(ContainSubstring("metadata.annotations[keyward.dev/created-via]: only admission sets it")))

			warned.Texts = nil
			review := reviewed(ctx, group, request)
			Expect(review.Spec.Request.Via).To(Equal(via))
			Expect(olga.Patch(ctx, review.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"request":{"via":"`+string(forged)+`"}}}`)))).To(
				MatchError(ContainSubstring("a review is of one request")))
			before := review.DeepCopy()
			review.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictRefused, Reason: "No"}
			Expect(as.Patch(ctx, review, client.MergeFrom(before), client.FieldOwner(manager))).To(Succeed())
			Expect(review.Spec.Decided).To(ConsistOf(And(HaveField("By", user), HaveField("Via", via))))
			before = review.DeepCopy()
			review.Spec.Decided[0].Via = forged
			Expect(as.Patch(ctx, review, client.MergeFrom(before))).To(MatchError(ContainSubstring("only admission writes who has decided")))
		},
		Entry("with kubectl", "jane", "kubectl-create", v1alpha1.ViaKubectl),
		Entry("with the plugin", "jane", "keyward-cli", v1alpha1.ViaKubectl),
		Entry("in the console", "jane", "keyward-console", v1alpha1.ViaConsole),
		Entry("with Helm", "jane", "helm", v1alpha1.ViaHelm),
		Entry("by Argo CD", "system:serviceaccount:argocd:argocd-application-controller", "argocd-controller", v1alpha1.ViaGitOps),
		Entry("by a ServiceAccount", "system:serviceaccount:shop:ci", "", v1alpha1.ViaAutomation),
		Entry("by a user without a name of the client", "jane", "", v1alpha1.ViaOther),
	)

	It("are decided in one's own name", func(ctx SpecContext) {
		owner := pipeline(ctx, w, "owner", writesReviews, rule("approve", v1alpha1.GroupVersion.Group, "groups"))
		review := reviewed(ctx, group, here("web"))
		for _, forged := range []string{
			`{"decided":[{"verdict":"Approved","by":"the-chief","at":"2026-01-01T00:00:00Z"}]}`,
			`{"decision":{"verdict":"Approved"},"decided":[{"verdict":"Approved","by":"the-chief","at":"2026-01-01T00:00:00Z"}]}`,
		} {
			for name, as := range map[string]client.Client{"an owner": owner, "the manager": testenv.Admin} {
				err := as.Patch(ctx, review.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":`+forged+`}`)))
				Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"), name)
				Expect(err).To(MatchError(ContainSubstring("only admission writes who has decided")), name)
			}
		}
		before := metav1.Now()
		Expect(deciding(ctx, owner, review, v1alpha1.VerdictApproved, "We know them")).To(Succeed())
		Expect(review.Spec.Decided).To(ConsistOf(And(HaveField("By", userOf("owner")), HaveField("Verdict", v1alpha1.VerdictApproved),
			HaveField("Reason", "We know them"), HaveField("At.Time", BeTemporally("~", before.Time, time.Minute)))))

		By("keeping what is recorded, regardless of what is written there")
		for _, decided := range []string{
			`[]`, `[{"verdict":"Approved","by":"the-chief","at":"2026-01-01T00:00:00Z"}]`,
			`[{"verdict":"Refused","by":"the-chief","at":"2026-01-01T00:00:00Z"}]`,
		} {
			err := owner.Patch(ctx, review.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"decided":`+decided+`}}`)))
			Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"), decided)
		}
		left := review.DeepCopy()
		left.Spec.Decided = nil // as from a manifest
		Expect(owner.Update(ctx, left)).To(Succeed())
		Expect(left.Spec.Decided).To(Equal(review.Spec.Decided))

		By("adding who withdraws it")
		other := pipeline(ctx, w, "other", writesReviews, rule("approve", v1alpha1.GroupVersion.Group, "groups"))
		Expect(deciding(ctx, other, review, v1alpha1.VerdictWithdrawn, "They left")).To(Succeed())
		Expect(review.Spec.Decided).To(ConsistOf(
			And(HaveField("By", userOf("owner")), HaveField("Verdict", v1alpha1.VerdictApproved), HaveField("Reason", "We know them")),
			And(HaveField("By", userOf("other")), HaveField("Verdict", v1alpha1.VerdictWithdrawn), HaveField("Reason", "They left"))))

		By("which is final, as a refusal is")
		refusal := reviewed(ctx, group, here("shop"))
		Expect(deciding(ctx, owner, refusal, v1alpha1.VerdictRefused, "No")).To(Succeed())
		for _, final := range []*v1alpha1.KeyRequestReview{review, refusal} {
			for _, verdict := range []v1alpha1.Verdict{v1alpha1.VerdictApproved, v1alpha1.VerdictRefused, v1alpha1.VerdictWithdrawn} {
				Expect(deciding(ctx, owner, final.DeepCopy(), verdict, "Another")).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
			}
			Expect(owner.Patch(ctx, final.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"decision":null}}`)))).To(
				MatchError(apierrors.IsInvalid, "IsInvalid"))
		}
	})

	It("have reviews of the manager only", func(ctx SpecContext) {
		writer := pipeline(ctx, w, "writer", writesReviews)
		everything, _ := testenv.As("olga")
		request := here("web")
		request.UID, request.CreationTimestamp = "1", metav1.Unix(1e9, 0)
		for _, as := range []client.Client{writer, everything} {
			err := as.Create(ctx, keyrequest.NewReview(request, group))
			Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
			Expect(err).To(MatchError(ContainSubstring("only the manager creates reviews")))
		}
		review := reviewed(ctx, group, request)
		for _, as := range []client.Client{writer, everything} {
			owned := review.DeepCopy()
			owned.OwnerReferences = append(owned.OwnerReferences, metav1.OwnerReference{
				APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "gone",
			})
			Expect(as.Update(ctx, owned)).To(MatchError(ContainSubstring("metadata.ownerReferences")))
			kept := review.DeepCopy()
			kept.Finalizers = append(kept.Finalizers, "example.com/kept")
			Expect(as.Update(ctx, kept)).To(MatchError(ContainSubstring("metadata.finalizers")))
			for _, change := range []func(*v1alpha1.KeyRequestReviewSpec){
				func(s *v1alpha1.KeyRequestReviewSpec) { s.Projects = []v1alpha1.ProjectName{"product"} },
				func(s *v1alpha1.KeyRequestReviewSpec) { s.Permissions = []v1alpha1.PermissionName{"read", "post"} },
				func(s *v1alpha1.KeyRequestReviewSpec) { s.Lifetime = "900d" },
				func(s *v1alpha1.KeyRequestReviewSpec) { s.UseCase = "Another" },
				func(s *v1alpha1.KeyRequestReviewSpec) { s.Request.Namespace = "kube-system" },
				func(s *v1alpha1.KeyRequestReviewSpec) { s.Group.UID = "2" },
			} {
				edited := review.DeepCopy()
				change(&edited.Spec)
				Expect(as.Update(ctx, edited)).To(MatchError(apierrors.IsInvalid, "IsInvalid"), "%+v", edited.Spec)
			}
			labelled := review.DeepCopy()
			labelled.Labels = map[string]string{"seen": "yes"}
			Expect(as.Update(ctx, labelled, client.DryRunAll)).To(Succeed(), "which says nothing about the request")
		}
	})

	It("are decided by who has the verb approve on the Group", func(ctx SpecContext) {
		globex := w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Name, g.Spec.KeyPolicy.Requests = "globex", v1alpha1.RequestsManual
		})
		every := v1alpha1.GroupVersion.Group
		writer := pipeline(ctx, w, "writer", writesReviews, rule("update", every, "groups"), rule("manage", every, "groups"))
		ofAcme := pipeline(ctx, w, "of-acme", writesReviews, rule("approve", every, "groups", "acme"))
		ofAll := pipeline(ctx, w, "of-all", writesReviews, rule("approve", every, "groups"))
		other := testenv.NewWorld(ctx) // where a right says nothing about Groups of this namespace
		elsewhere := pipeline(ctx, other, "elsewhere", rule("approve", every, "groups"))
		Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "elsewhere"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "writer"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: other.Namespace, Name: "elsewhere"}},
		})).To(Succeed())

		acmes, globexes := reviewed(ctx, group, here("web")), reviewed(ctx, globex, here("shop"))
		Eventually(func() error { // RBAC is cached
			return elsewhere.Get(ctx, client.ObjectKeyFromObject(acmes), &v1alpha1.KeyRequestReview{})
		}).Should(Succeed())
		for _, verdict := range []v1alpha1.Verdict{v1alpha1.VerdictApproved, v1alpha1.VerdictRefused} {
			for _, as := range []client.Client{writer, elsewhere} {
				err := deciding(ctx, as, acmes.DeepCopy(), verdict, "Because")
				Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
				Expect(err).To(MatchError(ContainSubstring(`does not have the verb approve on Group "acme"`)))
			}
		}
		Expect(deciding(ctx, ofAcme, globexes.DeepCopy(), v1alpha1.VerdictApproved, "Because")).To(
			MatchError(ContainSubstring(`does not have the verb approve on Group "globex"`)))
		Expect(deciding(ctx, ofAcme, acmes, v1alpha1.VerdictApproved, "Because")).To(Succeed())
		Expect(deciding(ctx, ofAll, globexes, v1alpha1.VerdictApproved, "Because")).To(Succeed())
		Expect(deciding(ctx, writer, acmes.DeepCopy(), v1alpha1.VerdictWithdrawn, "Because")).To(
			MatchError(apierrors.IsForbidden, "IsForbidden"), "to withdraw is to decide")
	})

	It("are decided by who made them only if they may approve", func(ctx SpecContext) {
		asks := rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"keyrequests"}, Verbs: []string{"get", "create", "delete"}}
		jane := pipeline(ctx, w, "jane", asks, writesReviews)
		request := here("web")
		Expect(jane.Create(ctx, request)).To(Succeed())
		review := reviewed(ctx, group, request)
		Expect(review.Spec.Request.By).To(Equal(userOf("jane")))
		Expect(deciding(ctx, jane, review.DeepCopy(), v1alpha1.VerdictApproved, "For me")).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		request.Status.State = v1alpha1.KeyRequestApproved
		Expect(jane.Status().Update(ctx, request)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))

		olga := pipeline(ctx, w, "olga", asks, writesReviews, rule("approve", v1alpha1.GroupVersion.Group, "groups"))
		own := here("own")
		Expect(olga.Create(ctx, own)).To(Succeed())
		its := reviewed(ctx, group, own)
		Expect(deciding(ctx, olga, its, v1alpha1.VerdictApproved, "For me")).To(Succeed())
		Expect(its.Spec.Decided).To(ConsistOf(HaveField("By", its.Spec.Request.By)), "and the record says so")
	})

	It("have texts of at most 500 characters", func(ctx SpecContext) {
		fits, long := strings.Repeat("é", 500), strings.Repeat("é", 501)
		request := here("web")
		request.Spec.UseCase = long
		Expect(testenv.Admin.Create(ctx, request)).To(MatchError(ContainSubstring("spec.useCase")))
		request.Spec.UseCase = fits
		Expect(testenv.Admin.Create(ctx, request)).To(Succeed())
		review := reviewed(ctx, group, request)
		Expect(deciding(ctx, testenv.Admin, review.DeepCopy(), v1alpha1.VerdictRefused, long)).To(MatchError(ContainSubstring("reason")))
		Expect(deciding(ctx, testenv.Admin, review, v1alpha1.VerdictRefused, fits)).To(Succeed())
	})

	It("say the same of every Group that accepts none", func(ctx SpecContext) {
		outside := testenv.NewWorld(ctx)
		answer := func(change func(*v1alpha1.KeyRequestSpec)) []string {
			GinkgoHelper()
			jane, warnings := testenv.As("jane")
			request := asking(outside.Namespace, "web", v1alpha1.GroupReference{Namespace: w.Namespace, Name: "acme"})
			change(&request.Spec)
			Expect(jane.Create(ctx, request, client.DryRunAll)).To(Succeed())
			return warnings.Texts
		}
		asIs := func(*v1alpha1.KeyRequestSpec) {}
		unknown := func(s *v1alpha1.KeyRequestSpec) {
			s.Projects, s.Permissions, s.Lifetime = []v1alpha1.ProjectName{"no-such"}, []v1alpha1.PermissionName{"no-such"}, "9000d"
		}
		// seen is what is answered once the webhook, which has a cache, sees the Group as it is.
		seen := func() {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				live, cached := &v1alpha1.Group{}, &v1alpha1.Group{}
				name := client.ObjectKey{Namespace: w.Namespace, Name: "acme"}
				g.Expect(client.IgnoreNotFound(testenv.Admin.Get(ctx, name, live))).To(Succeed())
				g.Expect(client.IgnoreNotFound(testenv.Manager.GetClient().Get(ctx, name, cached))).To(Succeed())
				g.Expect(cached.ResourceVersion).To(Equal(live.ResourceVersion))
			}).Should(Succeed())
		}
		var first []string
		for what, closed := range map[string]func(*v1alpha1.Group){
			"does not admit the namespace": func(*v1alpha1.Group) {},
			"has its requests off": func(g *v1alpha1.Group) {
				g.Spec.KeyPolicy.Requests, g.Spec.AllowedNamespaces.From = v1alpha1.RequestsOff, v1alpha1.NamespacesFromAll
			},
			"says nothing of requests": func(g *v1alpha1.Group) {
				g.Spec.KeyPolicy.Requests, g.Spec.AllowedNamespaces.From = "", v1alpha1.NamespacesFromAll
			},
			"does neither": func(g *v1alpha1.Group) {
				g.Spec.KeyPolicy.Requests, g.Spec.AllowedNamespaces.From = v1alpha1.RequestsOff, v1alpha1.NamespacesFromSame
			},
		} {
			testenv.Edit(ctx, group, closed)
			seen()
			if first == nil {
				first = answer(asIs)
				Expect(first).To(ConsistOf(ContainSubstring(`no Group "acme" in namespace`)))
			}
			Expect(answer(asIs)).To(Equal(first), what)
			Expect(answer(unknown)).To(Equal(first), what)
			testenv.Edit(ctx, group, func(g *v1alpha1.Group) {
				g.Spec.KeyPolicy.Requests, g.Spec.AllowedNamespaces.From = v1alpha1.RequestsManual, v1alpha1.NamespacesFromSame
			})
		}
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll })
		seen()
		Expect(answer(asIs)).To(BeEmpty(), "a Group that accepts requests is no secret")
		Expect(answer(unknown)).To(ConsistOf(ContainSubstring("spec.projects")))
		Expect(testenv.Admin.Delete(ctx, group)).To(Succeed())
		seen()
		Expect(answer(asIs)).To(Equal(first), "does not exist")
		Expect(answer(unknown)).To(Equal(first), "does not exist")
	})

	It("are at most 500 of a Group and 20 of a namespace while nobody decides", func(ctx SpecContext) {
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll })
		reference := v1alpha1.GroupReference{Namespace: w.Namespace, Name: "acme"}
		var last *testenv.World
		for range keyrequest.MaxUndecidedOfGroup / keyrequest.MaxUndecided {
			last = testenv.NewWorld(ctx)
			for i := range keyrequest.MaxUndecided {
				Expect(testenv.Admin.Create(ctx, asking(last.Namespace, fmt.Sprintf("r%d", i), reference))).To(Succeed())
			}
		}
		more := testenv.NewWorld(ctx)
		asked := func(in string, of v1alpha1.GroupReference) func() error {
			return func() error { return testenv.Admin.Create(ctx, asking(in, "more", of), client.DryRunAll) }
		}
		tooMany := MatchError(And(ContainSubstring("20 older requests of this namespace"), ContainSubstring("500 of the Group")))
		Eventually(asked(more.Namespace, reference)).Should(tooMany)
		Expect(asked(more.Namespace, v1alpha1.GroupReference{Namespace: w.Namespace, Name: "globex"})()).To(Succeed(), "of another Group")
		Eventually(asked(last.Namespace, v1alpha1.GroupReference{Namespace: w.Namespace, Name: "globex"})).Should(tooMany, "the namespace has 20")

		first := asking(last.Namespace, "r0", reference)
		Expect(testenv.Admin.Delete(ctx, first)).To(Succeed())
		Eventually(asked(more.Namespace, reference)).Should(Succeed(), "once one is gone")
	})
})
