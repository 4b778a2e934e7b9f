package servingcert

import (
	"bytes"
	"context"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

const system = "keyward-system"

// published is a Publisher that has published everything or nothing.
type published struct {
	bundle     []byte
	everywhere bool
}

func (p *published) Publish(bundle []byte) { p.bundle = bundle }

func (p *published) Published(_ context.Context, bundle []byte) bool {
	return p.everywhere && bytes.Equal(p.bundle, bundle)
}

// rotating is a Rotator of a cluster without a Secret.
type rotating struct {
	t *testing.T
	*Rotator

	publisher *published
	clock     *clocktesting.FakeClock
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	hook := admissionv1.WebhookClientConfig{}
	cluster := fake.NewClientBuilder().WithObjects(
		&admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: mutatingConfig},
			Webhooks: []admissionv1.MutatingWebhook{{Name: "a", ClientConfig: hook}, {Name: "b", ClientConfig: hook}}},
		&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: validatingConfig},
			Webhooks: []admissionv1.ValidatingWebhook{{Name: "c", ClientConfig: hook}}},
	).Build()
	r := &rotating{t: t, publisher: &published{}, clock: clocktesting.NewFakeClock(start)}
	r.Rotator = &Rotator{
		Client: cluster, Reader: cluster, Publisher: r.publisher, Policy: DefaultPolicy(day), Namespace: system, Clock: r.clock,
	}
	return r
}

// reconcile reconciles until the Rotator waits, and returns for how long.
func (r *rotating) reconcile() time.Duration {
	r.t.Helper()
	for range 10 {
		result, err := r.Reconcile(r.t.Context(), request)
		if err != nil {
			r.t.Fatal(err)
		}
		if result.RequeueAfter > 0 {
			return result.RequeueAfter
		}
	}
	r.t.Fatal("it does not come to rest")
	return 0
}

func (r *rotating) secret() *corev1.Secret {
	r.t.Helper()
	secret := &corev1.Secret{}
	if err := r.Client.Get(r.t.Context(), client.ObjectKey{Namespace: system, Name: SecretName}, secret); err != nil {
		r.t.Fatal(err)
	}
	return secret
}

// injected returns the bundles of all webhooks.
func (r *rotating) injected() (bundles [][]byte) {
	r.t.Helper()
	mutating, validating := &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}
	for name, object := range map[string]client.Object{mutatingConfig: mutating, validatingConfig: validating} {
		if err := r.Client.Get(r.t.Context(), client.ObjectKey{Name: name}, object); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, hook := range mutating.Webhooks {
		bundles = append(bundles, hook.ClientConfig.CABundle)
	}
	for _, hook := range validating.Webhooks {
		bundles = append(bundles, hook.ClientConfig.CABundle)
	}
	return bundles
}

func (r *rotating) requireInjected(bundle []byte) {
	r.t.Helper()
	for i, injected := range r.injected() {
		if !bytes.Equal(injected, bundle) {
			r.t.Errorf("webhook %d does not have the authorities", i)
		}
	}
	if !bytes.Equal(r.publisher.bundle, bundle) {
		r.t.Error("something else is published")
	}
}

// TestRotatorFillsAndHeals: a Secret that is missing is created, and webhooks that lose the authorities get them again.
func TestRotatorFillsAndHeals(t *testing.T) {
	r := newRotating(t)
	if wait := r.reconcile(); wait != longest {
		t.Errorf("it waits %s", wait)
	}
	bundle := r.secret().Data[entryBundle]
	r.requireInjected(bundle)
	configuration := &admissionv1.ValidatingWebhookConfiguration{}
	if err := r.Client.Get(t.Context(), client.ObjectKey{Name: validatingConfig}, configuration); err != nil {
		t.Fatal(err)
	}
	configuration.Webhooks[0].ClientConfig.CABundle = nil
	if err := r.Client.Update(t.Context(), configuration); err != nil {
		t.Fatal(err)
	}
	r.reconcile()
	r.requireInjected(bundle)
}

// TestRotatorPublishesFirst: the next authority is in webhooks and with the publisher before it issues anything.
func TestRotatorPublishesFirst(t *testing.T) {
	r := newRotating(t)
	r.reconcile()
	secret := r.secret()
	before := secret.Data[entryServing]
	secret.Annotations = map[string]string{AnnotationRenew: "now"}
	if err := r.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if wait := r.reconcile(); wait != publishedInterval {
		t.Errorf("it asks again after %s", wait)
	}
	r.clock.Step(10 * day)
	r.reconcile()
	secret = r.secret()
	if len(parseBundle(secret.Data[entryBundle])) != 2 || !bytes.Equal(secret.Data[entryServing], before) {
		t.Fatal("the next authority is not published, or issues certificates already")
	}
	r.requireInjected(secret.Data[entryBundle])
	r.publisher.everywhere = true
	r.reconcile()
	r.clock.Step(day)
	r.reconcile()
	if bytes.Equal(r.secret().Data[entryServing], before) {
		t.Error("the next authority issues no certificate")
	}
}

// TestMountedKeepsAuthorities: an authority that leaves the file stays published until it expires.
func TestMountedKeepsAuthorities(t *testing.T) {
	first, err := newAuthority(start, 10*day)
	if err != nil {
		t.Fatal(err)
	}
	second, err := newAuthority(start, 100*day)
	if err != nil {
		t.Fatal(err)
	}
	clk, publisher, cluster := clocktesting.NewFakeClock(start), &published{}, fake.NewClientBuilder().Build()
	m := &Mounted{
		File: "ca.crt", Reader: cluster, Client: cluster, Publisher: publisher, Namespace: system, Clock: clk,
	}
	both := append(bytes.Clone(second.certPEM), first.certPEM...)
	for _, test := range []struct {
		file, want []byte
		after      time.Duration
	}{
		{first.certPEM, first.certPEM, 0},
		{second.certPEM, both, day},
		{second.certPEM, second.certPEM, 10 * day},
	} {
		clk.Step(test.after)
		if err := m.publish(t.Context(), test.file); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(publisher.bundle, test.want) {
			t.Errorf("after %s there are %d authorities", test.after, len(parseBundle(publisher.bundle)))
		}
	}
	if err := m.publish(t.Context(), []byte("no PEM")); err == nil {
		t.Error("a file without a certificate is published")
	}
}
