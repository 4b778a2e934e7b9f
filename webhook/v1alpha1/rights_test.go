package v1alpha1_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// pipeline is a client of a ServiceAccount that may write ApiKeys in the World's namespace, and
// what the rules say.
func pipeline(ctx context.Context, w *testenv.World, name string, rules ...rbacv1.PolicyRule) client.Client {
	GinkgoHelper()
	rules = append(rules, rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"apikeys"},
		Verbs: []string{"create", "get", "update", "patch", "delete"},
	})
	meta := metav1.ObjectMeta{Namespace: w.Namespace, Name: name}
	Expect(testenv.Admin.Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules})).To(Succeed())
	Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Namespace, Name: name}},
	})).To(Succeed())
	c, _ := testenv.Impersonate("system:serviceaccount:"+w.Namespace+":"+name,
		"system:serviceaccounts", "system:serviceaccounts:"+w.Namespace, "system:authenticated")
	Eventually(func() error { // RBAC is cached
		return c.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = "probe" }), client.DryRunAll)
	}).Should(Succeed())
	return c
}

func rule(verb, group, resource string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: names, Verbs: []string{verb}}
}

var _ = Describe("What the manager does for a key, its author may do", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})

	DescribeTable("or it is refused:", func(ctx SpecContext, needs rbacv1.PolicyRule, change func(*v1alpha1.ApiKey), mentions ...string) {
		without, with := pipeline(ctx, w, "without", rule("get", "", "secrets", "web")), pipeline(ctx, w, "with", needs)
		err := without.Create(ctx, w.NewKey(change))
		Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		for _, mention := range append(mentions, `user "system:serviceaccount:`+w.Namespace+`:without" may not`,
			"ask for the right to, or") {
			Expect(err).To(MatchError(ContainSubstring(mention)))
		}
		Expect(with.Create(ctx, w.NewKey(change))).To(Succeed())

		key := &v1alpha1.ApiKey{}
		Expect(without.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
		key.Spec.Description = "edited by somebody who may only do that"
		Expect(without.Update(ctx, key)).To(Succeed(), "what is there already is not asked for again")
		Expect(without.Delete(ctx, key)).To(Succeed())
	},
		Entry("to read a Secret", rule("get", "", "secrets", "db"), testenv.Importing("db", "password"),
			"spec.importFrom.secretKeyRef.name", `may not get Secret "db"`),
		Entry("to import the hash of a text", rule("import", v1alpha1.GroupVersion.Group, "apikeys"),
			testenv.ImportingHash("legacy-platform/0123456789"), "spec.importFrom.sha256", "may not import keys by their hash"),
		Entry("to label Secrets", rule("create", "", "secrets"), func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Labels = map[string]v1alpha1.LabelValue{"argocd.argoproj.io/secret-type": "repository"}
		}, "spec.secret.template.labels", "may not create Secrets"),
		Entry("to annotate Secrets", rule("create", "", "secrets"), func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Annotations = map[string]v1alpha1.AnnotationValue{"reflector.example/to": "kube-system"}
		}, "spec.secret.template.annotations", "may not create Secrets"),
		Entry("to make Secrets of a type", rule("create", "", "secrets"), func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Type = "kubernetes.io/basic-auth"
		}, "spec.secret.template.type", "may not create Secrets"),
		Entry("to roll a workload", rule("patch", "apps", "statefulsets", "api"), func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "StatefulSet", Name: "api"}}
		}, "spec.secret.restart[0]", `may not patch StatefulSet "api"`),
	)

	DescribeTable("also when it is added later:", func(ctx SpecContext, change func(*v1alpha1.ApiKey)) {
		c := pipeline(ctx, w, "without")
		key := w.NewKey(func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Data = map[string]v1alpha1.EntryTemplate{".env": "KEY={{ .Key }}"}
		})
		Expect(c.Create(ctx, key)).To(Succeed(), "the key itself takes no more than the right to create it")
		change(key)
		Expect(c.Update(ctx, key)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
	},
		Entry("an import", testenv.Importing("db", "password")),
		Entry("a hash", testenv.ImportingHash("legacy-platform/0123456789")),
		Entry("a label", func(k *v1alpha1.ApiKey) { k.Spec.Secret.Template.Labels = map[string]v1alpha1.LabelValue{"a": "b"} }),
		Entry("a workload", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "api"}}
		}),
	)

	It("and suspending, revoking and removing are never refused", func(ctx SpecContext) {
		key := w.CreateKey(ctx, testenv.Importing("db", "password"), func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Labels = map[string]v1alpha1.LabelValue{"a": "b", "c": "d"}
		})
		c := pipeline(ctx, w, "without")
		key.Spec.Suspended = new(true)
		Expect(c.Update(ctx, key)).To(Succeed())
		delete(key.Spec.Secret.Template.Labels, "a")
		Expect(c.Update(ctx, key)).To(Succeed())
		key.Spec.Revoked = new(true)
		Expect(c.Update(ctx, key)).To(Succeed())
	})

	DescribeTable("types of Secrets that have a meaning are refused to everybody:", func(ctx SpecContext, kind string, refused bool) {
		err := testenv.Admin.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.Secret.Template.Type = kind }), client.DryRunAll)
		Expect(err != nil).To(Equal(refused), "%v", err)
		if refused {
			Expect(err).To(MatchError(ContainSubstring("use Opaque or a type of your own")))
		}
	},
		Entry(nil, "bootstrap.kubernetes.io/token", true),
		Entry(nil, "kubernetes.io/service-account-token", true),
		Entry(nil, "kubernetes.io/tls", true),
		Entry(nil, "node.k8s.io/x", true),
		Entry(nil, "helm.sh/release.v1", true),
		Entry(nil, "kubernetes.io/basic-auth", false),
		Entry(nil, "example.com/kubernetes.io", false),
		Entry(nil, "Opaque", false),
	)
})
