package v1alpha1_test

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("Admission of quotas of ApiKeys", func() {
	It("lets as many keys of a Group have one as may, and others have none", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		user, _ := testenv.As("jane")
		w.CreateGroup(ctx)
		limited := func(name string) *v1alpha1.ApiKey {
			return w.NewKey(func(k *v1alpha1.ApiKey) {
				k.Name, k.Spec.Limits.RequestsPerMonth = name, ptr.To[int64](5)
			})
		}
		var creating errgroup.Group
		creating.SetLimit(16)
		for i := range v1alpha1.MaxKeyQuotas {
			creating.Go(func() error { return testenv.Admin.Create(ctx, limited(fmt.Sprint("key-", i))) })
		}
		Expect(creating.Wait()).To(Succeed())
		Eventually(func(g Gomega) { // the webhook's cache may lag
			err := user.Create(ctx, limited("one-more"), client.DryRunAll)
			g.Expect(err).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
			g.Expect(causes(err)).To(Equal([]string{"FieldValueForbidden spec.limits.requestsPerMonth"}))
		}).Should(Succeed())

		plain := w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = "plain" })
		Expect(user.Create(ctx, plain)).To(Succeed())
		with := plain.DeepCopy()
		with.Spec.Limits.RequestsPerMonth = ptr.To[int64](5)
		Expect(user.Patch(ctx, with, client.MergeFrom(plain))).To(MatchError(ContainSubstring("no more may")))

		var one v1alpha1.ApiKey
		Expect(testenv.Admin.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "key-1"}, &one)).To(Succeed())
		before := one.DeepCopy()
		one.Spec.Limits.RequestsPerMonth = ptr.To[int64](6)
		Expect(user.Patch(ctx, &one, client.MergeFrom(before))).To(Succeed(), "who has one may change it")
		before = one.DeepCopy()
		one.Spec.Limits.RequestsPerMonth = nil
		Expect(user.Patch(ctx, &one, client.MergeFrom(before))).To(Succeed())
		with = plain.DeepCopy()
		with.Spec.Limits.RequestsPerMonth = ptr.To[int64](5)
		Eventually(func() error { return user.Patch(ctx, with, client.MergeFrom(plain)) }).Should(Succeed())
	})
})
