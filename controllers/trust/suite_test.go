package trust_test

import (
	"context"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/trust"
)

func TestSpecs(t *testing.T) { testenv.Run(t, "controllers/trust") }

var (
	recorder = events.NewFakeRecorder(1000)
	clk      = clocktesting.NewFakeClock(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
)

// thePublisher is the one publisher of all specs. The first call adds it to the manager, which runs already.
var thePublisher = sync.OnceValue(func() *trust.Publisher {
	publisher, err := trust.Add(testenv.Manager, trust.Options{
		Namespace: testenv.SystemNamespace, Recorder: recorder, Clock: clk,
		Watches: func(namespace string) bool { return namespace != "unwatched" },
	})
	Expect(err).NotTo(HaveOccurred())
	return publisher
})

// publish publishes a text that stands for certificates, and waits until it is published.
func publish(ctx context.Context, text string) {
	GinkgoHelper()
	thePublisher().Publish([]byte(text))
	Eventually(func() bool { return thePublisher().Published(ctx, []byte(text)) }).Should(BeTrue())
}

func newNamespace(ctx context.Context, labels map[string]string) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "trust-", Labels: labels}}
	Expect(testenv.Admin.Create(ctx, namespace)).To(Succeed())
	Eventually(func() error { // one that the manager has not seen asks for nothing
		return testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(namespace), cache.NamespaceMetadata())
	}).WithPolling(time.Millisecond).Should(Succeed())
	return namespace.Name
}

func label(ctx context.Context, namespace, patch string) {
	GinkgoHelper()
	Expect(testenv.Admin.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":`+patch+`}}`)))).To(Succeed())
}

// configMap returns the ConfigMap of a namespace, or nil.
func configMap(ctx context.Context, namespace string) *corev1.ConfigMap {
	GinkgoHelper()
	found := &corev1.ConfigMap{}
	err := testenv.Admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.TrustName}, found)
	if apierrors.IsNotFound(err) {
		return nil
	}
	Expect(err).NotTo(HaveOccurred())
	return found
}

// has waits until the ConfigMap of the namespace has exactly this text, or, if it is "", until there is none.
func has(ctx context.Context, namespace, text string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		found := configMap(ctx, namespace)
		if text == "" {
			g.Expect(found).To(BeNil())
			return
		}
		g.Expect(found).NotTo(BeNil())
		g.Expect(found.Data).To(Equal(map[string]string{v1alpha1.TrustKey: text}))
	}).Should(Succeed())
}
