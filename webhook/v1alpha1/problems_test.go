package v1alpha1_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// causes are what a refusal says for programs: type and field of each problem.
func causes(err error) []string {
	status, is := err.(apierrors.APIStatus)
	if !is || status.Status().Details == nil {
		return nil
	}
	var all []string
	for _, cause := range status.Status().Details.Causes {
		all = append(all, string(cause.Type)+" "+cause.Field)
	}
	return all
}

var _ = Describe("Admission", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	It("reports all problems of an ApiKey at once, and warns of those that its Group could end", func(ctx SpecContext) {
		user, heard := testenv.As("jane")
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = ptr.To[int32](0) })
		wrong := func() *v1alpha1.ApiKey {
			return w.NewKey(func(k *v1alpha1.ApiKey) {
				k.Spec.Projects = []v1alpha1.ProjectName{"marketing", "sales", "press"}
				k.Spec.Permissions = []v1alpha1.PermissionName{"checkout"}
				k.Spec.ExpiresAfter = v1alpha1.LifetimeNever
				k.Spec.Rotation.Every, k.Spec.Rotation.RetireWhenUnusedFor = "1s", "1s"
				k.Spec.Secret.Template.Data = map[string]v1alpha1.EntryTemplate{".env": "{{ .Secret }}", "json": "{{ .Key"}
			})
		}
		Eventually(func(g Gomega) { // the webhook's cache may lag
			heard.Texts = nil
			err := user.Create(ctx, wrong(), client.DryRunAll)
			g.Expect(err).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
			g.Expect(causes(err)).To(Equal([]string{
				"FieldValueInvalid spec.secret.template.data[.env]",
				"FieldValueInvalid spec.secret.template.data[json]",
				"FieldValueInvalid spec.rotation.every",
				"FieldValueInvalid spec.rotation.retireWhenUnusedFor",
			}))
			g.Expect(heard.Texts).To(HaveExactElements(HavePrefix("spec.projects[1]: "), HavePrefix("spec.projects[2]: "),
				HavePrefix("spec.permissions[0]: "), HavePrefix("spec.expiresAfter: "), HavePrefix("spec.groupRef: ")))
		}).Should(Succeed())
	})

	It("reports problems of an ApiKey without its Group, too", func(ctx SpecContext) {
		err := testenv.Admin.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) {
			k.Spec.GroupRef.Name = "later"
			k.Spec.Rotation.Every = "1s"
			k.Spec.ImportFrom = &v1alpha1.ImportSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: k.Name, Key: "key"}}
		}), client.DryRunAll)
		Expect(err).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
		Expect(causes(err)).To(Equal([]string{
			"FieldValueInvalid spec.importFrom.secretKeyRef.name", "FieldValueInvalid spec.rotation.every",
		}))
	})

	It("reports all problems of a Group at once, with the rights that its author lacks", func(ctx SpecContext) {
		wrong := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
		wrong.Spec.State = v1alpha1.GroupFrozen
		wrong.Spec.KeyPolicy = v1alpha1.KeyPolicy{DefaultLifetime: "90d", MaxLifetime: "30d"}
		wrong.Spec.Projects = []v1alpha1.Project{{Name: "a", Routes: []v1alpha1.Route{{Paths: []string{"/a/**/b"}}, {Paths: []string{"/b/**/c"}}}}}
		want := []string{
			"FieldValueInvalid spec.keyPolicy.defaultLifetime",
			"FieldValueInvalid spec.projects[0].routes[0].paths[0]",
			"FieldValueInvalid spec.projects[0].routes[1].paths[0]",
		}
		Expect(causes(testenv.Admin.Create(ctx, wrong.DeepCopy(), client.DryRunAll))).To(Equal(want))
		owner := pipeline(ctx, w, "owner", rule("create", "keyward.dev", "groups"))
		Expect(causes(owner.Create(ctx, wrong.DeepCopy(), client.DryRunAll))).To(Equal(append(want, "FieldValueForbidden spec.state")))
	})

	It("reports all problems of a DomainAllowlist at once", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		wrong := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "web"}}
		wrong.Spec.GroupRef.Name = "acme"
		wrong.Spec.Projects = []v1alpha1.ProjectName{"sales"}
		wrong.Spec.Domains = []string{"acme.com", "acme.com:99999", "shop.acme.com:0"}
		Eventually(func(g Gomega) {
			g.Expect(causes(testenv.Admin.Create(ctx, wrong.DeepCopy(), client.DryRunAll))).To(Equal([]string{
				"FieldValueInvalid spec.domains[1]", "FieldValueInvalid spec.domains[2]",
			}))
		}).Should(Succeed())
	})

	It("reports 20 problems and that there are more", func(ctx SpecContext) {
		wrong := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
		var routes []v1alpha1.Route
		for range 32 {
			routes = append(routes, v1alpha1.Route{Paths: []string{"/" + strings.Repeat("a", 1000) + "/**/b"}})
		}
		wrong.Spec.Projects = []v1alpha1.Project{{Name: "a", Routes: routes}, {Name: "b", Routes: routes}}
		err := testenv.Admin.Create(ctx, wrong, client.DryRunAll)
		found := causes(err)
		Expect(found).To(HaveLen(21))
		Expect(found[20]).To(Equal("FieldValueInvalid spec"))
		Expect(err).To(MatchError(ContainSubstring("and more than these 20; fix them first")))
		Expect(len(err.Error())).To(BeNumerically("<", 64<<10))
	})

	It("names all rights that the author of an ApiKey lacks", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		c := pipeline(ctx, w, "without")
		err := c.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) {
			k.Spec.ImportFrom = &v1alpha1.ImportSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "db", Key: "password"}}
			k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "a"}, {Kind: "Deployment", Name: "b"}}
		}), client.DryRunAll)
		Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		Expect(err).To(MatchError(And(ContainSubstring("spec.importFrom.secretKeyRef.name"),
			ContainSubstring("spec.secret.restart[0]"), ContainSubstring("spec.secret.restart[1]"))))
	})
})
