package keyrequest_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/cache"
	reconciler "github.com/keyward-dev/keyward/controllers/keyrequest"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

// runController lets the real controller work in the namespaces of the Worlds, and nowhere else.
func runController(ctx context.Context, worlds ...*testenv.World) {
	GinkgoHelper()
	options := controllers.CacheOptions()
	options.DefaultNamespaces = map[string]ctrlcache.Config{}
	for _, w := range worlds {
		options.DefaultNamespaces[w.Namespace] = ctrlcache.Config{}
	}
	mgr, err := ctrl.NewManager(testenv.Config, ctrl.Options{
		Scheme: controllers.Scheme(), Cache: options, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(cache.RegisterIndexes(ctx, mgr.GetFieldIndexer())).To(Succeed())
	Expect((&reconciler.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: worlds[0].Recorder, Clock: clock.RealClock{},
	}).Setup(mgr)).To(Succeed())
	running, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(running) }()
	DeferCleanup(func() {
		stop()
		Eventually(stopped).Should(Receive(BeNil()))
	})
}

var _ = Describe("The controller of KeyRequests", func() {
	var (
		w, other *testenv.World
		group    *v1alpha1.Group
	)
	BeforeEach(func(ctx SpecContext) {
		w, other = testenv.NewWorld(ctx), testenv.NewWorld(ctx)
		group = w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.Requests = v1alpha1.RequestsManual
			g.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{
				From: v1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "web"}},
			}
		})
		runController(ctx, w, other)
	})
	label := func(ctx context.Context, team string) {
		GinkgoHelper()
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other.Namespace}}
		testenv.Edit(ctx, namespace, func(n *corev1.Namespace) { n.Labels["team"] = team })
	}
	ask := func(ctx context.Context) *v1alpha1.KeyRequest {
		GinkgoHelper()
		request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: "web"}}
		request.Spec.GroupRef = v1alpha1.GroupReference{Namespace: w.Namespace, Name: "acme"}
		request.Spec.Projects, request.Spec.UseCase = []v1alpha1.ProjectName{"marketing"}, "The shop"
		Expect(testenv.Admin.Create(ctx, request)).To(Succeed())
		return request
	}
	reaches := func(ctx context.Context, request *v1alpha1.KeyRequest, state v1alpha1.KeyRequestState, reason string) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(request), request)).To(Succeed())
			g.Expect(request.Status.State).To(Equal(state))
			g.Expect(request.Status.Conditions).To(ContainElement(And(HaveField("Type", "Ready"), HaveField("Reason", reason))))
		}).Should(Succeed())
	}
	review := func(request *v1alpha1.KeyRequest) *v1alpha1.KeyRequestReview {
		return &v1alpha1.KeyRequestReview{ObjectMeta: metav1.ObjectMeta{
			Namespace: w.Namespace, Name: keyrequest.ReviewName(request.UID, group.UID),
		}}
	}
	decide := func(ctx context.Context, request *v1alpha1.KeyRequest, verdict v1alpha1.Verdict) {
		GinkgoHelper()
		testenv.Edit(ctx, review(request), func(r *v1alpha1.KeyRequestReview) { r.Spec.Decision = &v1alpha1.Decision{Verdict: verdict} })
	}
	gone := func(ctx context.Context, object client.Object) func() error {
		return func() error { return testenv.Admin.Get(ctx, client.ObjectKeyFromObject(object), object) }
	}
	// released deletes an ApiKey, with what the controller of ApiKeys does then, which does not run here.
	released := func(ctx context.Context, key *v1alpha1.ApiKey) {
		GinkgoHelper()
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Expect(client.IgnoreNotFound(testenv.Admin.Patch(ctx, key, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))).To(Succeed())
	}
	notFound := MatchError(apierrors.IsNotFound, "IsNotFound")

	It("follows reviews, ApiKeys, Groups and labels of namespaces", func(ctx SpecContext) {
		request := ask(ctx)
		reaches(ctx, request, v1alpha1.KeyRequestPending, v1alpha1.ReasonGroupNotFound)
		label(ctx, "web")
		reaches(ctx, request, v1alpha1.KeyRequestPending, v1alpha1.ReasonUndecided)
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsOff })
		reaches(ctx, request, v1alpha1.KeyRequestPending, v1alpha1.ReasonGroupNotFound)
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsManual })
		reaches(ctx, request, v1alpha1.KeyRequestPending, v1alpha1.ReasonUndecided)

		taken := other.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Namespace = w.Namespace })
		Expect(testenv.Admin.Create(ctx, taken)).To(Succeed())
		decide(ctx, request, v1alpha1.VerdictApproved)
		reaches(ctx, request, v1alpha1.KeyRequestApproved, v1alpha1.ReasonNameTaken)
		released(ctx, taken)
		reaches(ctx, request, v1alpha1.KeyRequestIssued, v1alpha1.ReasonReady)
		key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: "web"}}
		Expect(gone(ctx, key)()).To(Succeed())
		Expect(key.UID).To(And(Equal(request.Status.Key.UID), Not(Equal(taken.UID))))

		decide(ctx, request, v1alpha1.VerdictWithdrawn)
		reaches(ctx, request, v1alpha1.KeyRequestWithdrawn, v1alpha1.ReasonApprovalWithdrawn)
		Eventually(func() bool { _ = gone(ctx, key)(); return ptr.Deref(key.Spec.Revoked, false) }).Should(BeTrue())
	})

	It("deletes the review with the request, whose key the garbage collector deletes", func(ctx SpecContext) {
		label(ctx, "web")
		request := ask(ctx)
		reaches(ctx, request, v1alpha1.KeyRequestPending, v1alpha1.ReasonUndecided)
		decide(ctx, request, v1alpha1.VerdictApproved)
		reaches(ctx, request, v1alpha1.KeyRequestIssued, v1alpha1.ReasonReady)
		key, its := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: "web"}}, review(request)
		Expect(gone(ctx, key)()).To(Succeed())
		Expect(key.OwnerReferences).To(ConsistOf(And(HaveField("Kind", "KeyRequest"), HaveField("UID", request.UID))), "which deletes it")

		Expect(testenv.Admin.Delete(ctx, request)).To(Succeed())
		Eventually(gone(ctx, its)).Should(notFound)
		// No garbage collector runs here. What it does brings no request back.
		released(ctx, key)
		Eventually(gone(ctx, key)).Should(notFound)
		again := ask(ctx)
		reaches(ctx, again, v1alpha1.KeyRequestPending, v1alpha1.ReasonUndecided)
		Expect(again.UID).NotTo(Equal(request.UID))
		Expect(gone(ctx, key)()).To(notFound, "nobody has decided about the second request")
	})
})
