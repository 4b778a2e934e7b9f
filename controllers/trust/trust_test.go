package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/trust"
)

var asking = map[string]string{v1alpha1.LabelTrust: v1alpha1.TrustPublish}

var _ = Describe("The authorities", func() {
	It("are in a ConfigMap in each namespace that asks or has sidecars, in that of the manager, and in no other", func(ctx SpecContext) {
		asks, injects := newNamespace(ctx, asking), newNamespace(ctx, map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled})
		disabled, silent := newNamespace(ctx, map[string]string{v1alpha1.LabelInjection: "disabled"}), newNamespace(ctx, nil)
		publish(ctx, "one")
		for _, namespace := range []string{asks, injects, testenv.SystemNamespace} {
			has(ctx, namespace, "one")
		}
		later := newNamespace(ctx, asking)
		has(ctx, later, "one")
		label(ctx, silent, `{"keyward.dev/ca":"publish"}`)
		has(ctx, silent, "one")
		Expect(configMap(ctx, disabled)).To(BeNil())
		publish(ctx, "one and two")
		for _, namespace := range []string{asks, injects, later, silent, testenv.SystemNamespace} {
			Expect(configMap(ctx, namespace).Data).To(HaveKeyWithValue(v1alpha1.TrustKey, "one and two"), namespace)
		}
	})

	It("come back when somebody edits or deletes the ConfigMap", func(ctx SpecContext) {
		namespace := newNamespace(ctx, asking)
		publish(ctx, "healed")
		found := configMap(ctx, namespace)
		found.Data = map[string]string{v1alpha1.TrustKey: "an impostor's", "more": "of it"}
		Expect(testenv.Admin.Update(ctx, found)).To(Succeed())
		has(ctx, namespace, "healed")
		Expect(testenv.Admin.Delete(ctx, found)).To(Succeed())
		has(ctx, namespace, "healed")
	})

	It("come back when somebody makes the ConfigMap immutable, or else an event says what keeps it", func(ctx SpecContext) {
		namespace := newNamespace(ctx, asking)
		publish(ctx, "mutable")
		found := configMap(ctx, namespace)
		found.Data, found.Immutable = map[string]string{v1alpha1.TrustKey: "an impostor's"}, ptr.To(true)
		Expect(testenv.Admin.Update(ctx, found)).To(Succeed())
		has(ctx, namespace, "mutable")

		found = configMap(ctx, namespace)
		found.Immutable, found.Finalizers = ptr.To(true), []string{"example.com/keep"}
		Expect(testenv.Admin.Update(ctx, found)).To(Succeed())
		publish(ctx, "renewed")
		Eventually(nextEvent).Should(ContainSubstring("example.com/keep"))
		found = configMap(ctx, namespace)
		Expect(found.Data).To(HaveKeyWithValue(v1alpha1.TrustKey, "mutable"))
		found.Finalizers = nil
		Expect(testenv.Admin.Update(ctx, found)).To(Succeed())
		has(ctx, namespace, "renewed")
	})

	It("leave a namespace that no longer asks, and nothing else does", func(ctx SpecContext) {
		namespace, other := newNamespace(ctx, asking), newNamespace(ctx, asking)
		publish(ctx, "left")
		label(ctx, namespace, `{"keyward.dev/ca":null}`)
		has(ctx, namespace, "")
		Expect(configMap(ctx, other).Data).To(HaveKeyWithValue(v1alpha1.TrustKey, "left"))
	})

	It("do not replace a ConfigMap of somebody else, which an event reports", func(ctx SpecContext) {
		namespace := newNamespace(ctx, nil)
		theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.TrustName},
			Data: map[string]string{v1alpha1.TrustKey: "a copy"}}
		Expect(testenv.Admin.Create(ctx, theirs)).To(Succeed())
		label(ctx, namespace, `{"keyward.dev/ca":"publish"}`)
		publish(ctx, "foreign")
		Eventually(nextEvent).Should(ContainSubstring("Delete it, and Keyward creates its own"))
		Expect(configMap(ctx, namespace).Data).To(HaveKeyWithValue(v1alpha1.TrustKey, "a copy"))

		label(ctx, namespace, `{"keyward.dev/ca":null}`)
		Consistently(func() any { return configMap(ctx, namespace) }, "200ms").ShouldNot(BeNil())
		label(ctx, namespace, `{"keyward.dev/ca":"publish"}`)
		Expect(testenv.Admin.Delete(ctx, theirs)).To(Succeed())
		has(ctx, namespace, "foreign")
	})

	It("are written once in each of many namespaces, and not again until they change", func(ctx SpecContext) {
		const many = 150
		namespaces := make([]string, many)
		for i := range namespaces {
			namespaces[i] = newNamespace(ctx, asking)
		}
		publish(ctx, "many")
		versions := map[string]string{}
		for _, namespace := range namespaces {
			versions[namespace] = configMap(ctx, namespace).ResourceVersion
		}
		for i, namespace := range namespaces {
			label(ctx, namespace, fmt.Sprintf(`{"other":"%d"}`, i))
		}
		publish(ctx, "many") // the same
		Consistently(func(g Gomega) {
			for _, namespace := range namespaces[:10] {
				g.Expect(configMap(ctx, namespace).ResourceVersion).To(Equal(versions[namespace]))
			}
		}, "300ms").Should(Succeed())
		publish(ctx, "many more")
		for _, namespace := range namespaces {
			Expect(configMap(ctx, namespace).Data).To(HaveKeyWithValue(v1alpha1.TrustKey, "many more"))
		}
	})

	It("are not written where the manager does not watch", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "unwatched", Labels: asking}})).To(Succeed())
		publish(ctx, "watched")
		Expect(configMap(ctx, "unwatched")).To(BeNil())
	})

	It("are in a ClusterTrustBundle, which comes back when somebody edits or deletes it", func(ctx SpecContext) {
		first, second := certificate(), certificate()
		object := &certificatesv1.ClusterTrustBundle{}
		name := client.ObjectKey{Name: trust.ClusterTrustBundleName}
		hasText := func(text string) {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				clk.Step(time.Minute)
				g.Expect(testenv.Admin.Get(ctx, name, object)).To(Succeed())
				g.Expect(object.Spec.TrustBundle).To(Equal(text))
			}).Should(Succeed())
		}
		publish(ctx, first)
		hasText(first)
		Expect(object.Spec.SignerName).To(Equal(trust.SignerName))
		Expect(object.Labels).To(HaveKeyWithValue(v1alpha1.LabelManagedBy, v1alpha1.ManagedBy))
		publish(ctx, first+second)
		hasText(first + second)
		object.Spec.TrustBundle = second
		Expect(testenv.Admin.Update(ctx, object)).To(Succeed())
		hasText(first + second)
		Expect(testenv.Admin.Delete(ctx, object)).To(Succeed())
		hasText(first + second)
	})
})

// nextEvent returns the next event about a ConfigMap.
func nextEvent() string {
	select {
	case text := <-recorder.Events:
		return text
	default:
		return ""
	}
}

// certificate returns a certificate of an authority, in PEM.
func certificate() string {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	Expect(err).NotTo(HaveOccurred())
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
