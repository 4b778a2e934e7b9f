package grouplog_test

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grouplog"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

var _ = Describe("What is deleted", func() {
	var w *testenv.World
	var group *v1alpha1.Group
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		group = w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsManual })
		cached(ctx, group)
	})
	// deletedKey returns an ApiKey as the cache has it, that was minted and deleted, and is refused by every validation server.
	deletedKey := func(ctx context.Context) *v1alpha1.ApiKey {
		GinkgoHelper()
		created := w.CreateKey(ctx)
		w.Clock.Step(max(0, created.CreationTimestamp.Sub(w.Clock.Now()))) // nothing is minted before it is created
		key := w.ReconcileUntil(ctx, "web", active)
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		cached(ctx, key)
		return key
	}
	// reconciled reconciles the ApiKey until it is gone, or there is nothing but to wait for the log.
	reconciled := func(ctx context.Context, key *v1alpha1.ApiKey) (exists bool) {
		GinkgoHelper()
		for range 5 {
			_, err := w.ReconcileKey(ctx, key.Name)
			Expect(err).NotTo(HaveOccurred())
			err = testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)
			if apierrors.IsNotFound(err) {
				return false
			}
			Expect(err).NotTo(HaveOccurred())
			cached(ctx, key)
		}
		return true
	}

	It("stays until the log has its events", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		w.Keys.Log = writer
		key := deletedKey(ctx)
		Expect(reconciled(ctx, key)).To(BeTrue(), "the new leader has not looked at it yet")
		secret := &corev1.Secret{}
		err := testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), secret)
		Expect(err).To(MatchError(apierrors.IsNotFound, "IsNotFound"), "the log does not delay that the key ends")
		look(ctx, w, writer)
		Expect(reconciled(ctx, key)).To(BeTrue(), "the leader may crash before it has written")
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		Expect(reconciled(ctx, key)).To(BeFalse())
		Expect(typesOf(ctx, w)).To(Equal([]string{"group.created", "key.created", "key.minted", "key.delivered", "key.deleted"}))
	})

	It("stays for a minute at most", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		w.Keys.Log = writer
		key := deletedKey(ctx)
		Expect(reconciled(ctx, key)).To(BeTrue())
		w.Clock.Step(59 * time.Second)
		Expect(reconciled(ctx, key)).To(BeTrue())
		w.Clock.Step(2 * time.Second)
		Expect(writer.MayGo(ctx, key)).To(BeTrue())
		Expect(writer.MayGo(ctx, key)).To(BeTrue(), "what it was asked for may have failed")
		Expect(reconciled(ctx, key)).To(BeFalse())
	})

	It("stays while its log is being written, without waiting for that", func(ctx SpecContext) {
		writing, written := make(chan struct{}), make(chan struct{})
		writer := newWriter(ctx, w, func(writer *grouplog.Writer) {
			writer.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
					close(writing)
					<-written
					return c.Create(ctx, object, options...)
				},
			})
		})
		key := deletedKey(ctx)
		look(ctx, w, writer)
		flushed := make(chan error, 1)
		go func() { flushed <- writer.Flush(ctx, group.UID) }()
		Eventually(writing).Should(BeClosed())
		Expect(writer.MayGo(ctx, key)).To(BeFalse())
		close(written)
		Eventually(flushed).Should(Receive(BeNil()))
		Expect(writer.MayGo(ctx, key)).To(BeTrue())
	})

	It("stays while the logs are not read", func(ctx SpecContext) {
		writer := &grouplog.Writer{Cache: testenv.Manager.GetCache(), Tiers: w.Tiers, Clock: w.Clock}
		key := deletedKey(ctx)
		Expect(writer.MayGo(ctx, key)).To(BeFalse())
	})

	It("does not stay for a log that there is not", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		key := deletedKey(ctx)
		other := key.DeepCopy()
		other.Spec.GroupRef.Name = "missing"
		Expect(writer.MayGo(ctx, other)).To(BeTrue(), "it has no Group")

		By("having a namespace that ends")
		ending := newWriter(ctx, w, func(writer *grouplog.Writer) {
			writer.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
				Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
					refused := apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("grouplogs").GroupResource(), "acme", errors.New("it ends"))
					refused.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
					return refused
				},
			})
		})
		look(ctx, w, ending)
		Expect(ending.MayGo(ctx, key)).To(BeFalse(), "that is not known yet")
		Expect(ending.Flush(ctx, group.UID)).To(Succeed())
		Expect(ending.MayGo(ctx, key)).To(BeTrue())
	})

	It("may be the review of a request, which stays until the log has who decided", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		w.Log = writer
		request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "web"}}
		request.Spec.GroupRef.Name = group.Name
		request.Spec.Projects, request.Spec.UseCase, request.Spec.Lifetime = []v1alpha1.ProjectName{"marketing"}, "The shop", "30d"
		Expect(testenv.Admin.Create(ctx, request)).To(Succeed())
		review := &v1alpha1.KeyRequestReview{}
		name := client.ObjectKey{Namespace: w.Namespace, Name: keyrequest.ReviewName(request.UID, group.UID)}
		Eventually(func(g Gomega) {
			_, err := w.ReconcileRequest(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, name, review)).To(Succeed())
		}).Should(Succeed())
		cached(ctx, review)
		Expect(testenv.Admin.Delete(ctx, request)).To(Succeed())
		gone(ctx, request)
		for range 3 {
			result, err := w.ReconcileRequest(ctx, "web")
			Expect(err).NotTo(HaveOccurred())
			Expect(result.RequeueAfter).To(Equal(time.Second), "it looks again soon")
			Expect(testenv.Admin.Get(ctx, name, review)).To(Succeed())
		}
		Expect(writer.Observe(ctx, review)).To(Succeed())
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		result, err := w.ReconcileRequest(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeZero())
		Expect(testenv.Admin.Get(ctx, name, review)).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
	})
})
