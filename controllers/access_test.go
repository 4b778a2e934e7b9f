package controllers_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// roles returns the ClusterRoles of config/rbac for people.
func roles() []rbacv1.ClusterRole {
	GinkgoHelper()
	file, err := os.Open("../config/rbac/users.yaml")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	var all []rbacv1.ClusterRole
	for decoder := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		var role rbacv1.ClusterRole
		if err := decoder.Decode(&role); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			Fail(err.Error())
		}
		all = append(all, role)
	}
}

// aggregated returns the roles that make up a built-in role. In a cluster the controller manager aggregates them.
func aggregated(builtin string) []string {
	GinkgoHelper()
	levels := map[string][]string{"view": {"view"}, "edit": {"view", "edit"}, "admin": {"view", "edit", "admin"}}[builtin]
	var names []string
	for _, level := range levels {
		names = append(names, "system:aggregate-to-"+level)
		for _, role := range roles() {
			if role.Labels["rbac.authorization.k8s.io/aggregate-to-"+level] == "true" {
				names = append(names, role.Name)
			}
		}
	}
	return names
}

// bind gives a user ClusterRoles in the namespace, those of config/rbac among them.
func bind(ctx context.Context, w *testenv.World, user string, names ...string) {
	GinkgoHelper()
	for _, role := range roles() {
		Expect(client.IgnoreAlreadyExists(testenv.Admin.Create(ctx, &role))).To(Succeed())
	}
	for _, name := range names {
		Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, GenerateName: "spec-"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		})).To(Succeed())
	}
}

// bindRule gives a user one right in the namespace, with a Role of its own.
func bindRule(ctx context.Context, w *testenv.World, user string, rule rbacv1.PolicyRule) {
	GinkgoHelper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, GenerateName: "spec-"}, Rules: []rbacv1.PolicyRule{rule}}
	Expect(testenv.Admin.Create(ctx, role)).To(Succeed())
	Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, GenerateName: "spec-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})).To(Succeed())
}

// people returns clients of the users in the table of docs/security.md, with their rights in the namespace.
func people(ctx context.Context, w *testenv.World) map[string]client.Client {
	GinkgoHelper()
	clients := map[string]client.Client{}
	for _, who := range []string{"view", "edit", "admin", "keyward-group-owner", "keyward-platform"} {
		names := []string{who}
		if !strings.HasPrefix(who, "keyward-") {
			names = aggregated(who)
		}
		bind(ctx, w, w.Namespace+":"+who, names...)
		clients[who], _ = testenv.AsUser(w.Namespace + ":" + who)
	}
	for who, may := range map[string][2]string{
		"view": {"get", "groups"}, "edit": {"create", "domainallowlists"}, "admin": {"create", "apikeys"},
		"keyward-group-owner": {"update", "groups"}, "keyward-platform": {v1alpha1.VerbManage, "groups"},
	} {
		Eventually(func(g Gomega) { // the API server reads its Roles from a cache
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: w.Namespace + ":" + who, Groups: []string{"system:authenticated"},
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Verb: may[0], Resource: may[1], Namespace: w.Namespace,
				},
			}}
			g.Expect(testenv.Admin.Create(ctx, review)).To(Succeed())
			g.Expect(review.Status.Allowed).To(BeTrue(), who)
		}).Should(Succeed())
	}
	return clients
}

// groupVerbs has all verbs except manage.
var groupVerbs = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// platformFields has the fields that need the verb manage, and ownerFields the others, each with a change.
var (
	platformFields = map[string]func(*v1alpha1.GroupSpec){
		"spec.tier":    func(s *v1alpha1.GroupSpec) { s.Tier = "Enterprise" },
		"spec.billing": func(s *v1alpha1.GroupSpec) { s.Billing.Customer = "cus_1" },
		"spec.limits":  func(s *v1alpha1.GroupSpec) { s.Limits.RequestsPerMonth = ptr.To[int64](9e9) },
		"spec.state":   func(s *v1alpha1.GroupSpec) { s.State = v1alpha1.GroupSuspended },
		"spec.context": func(s *v1alpha1.GroupSpec) { s.Context = map[string]v1alpha1.ContextValue{"database": "acme_prod"} },
		"spec.sealedContext": func(s *v1alpha1.GroupSpec) {
			s.SealedContext = []v1alpha1.SealedContext{{Name: "mail", SecretKeyRef: v1alpha1.SecretKeyReference{Name: "mail", Key: "token"}}}
		},
		"spec.keyPolicy.keysMaySet": func(s *v1alpha1.GroupSpec) { s.KeyPolicy.KeysMaySet = []v1alpha1.ContextName{"region"} },
		"spec.allowedNamespaces": func(s *v1alpha1.GroupSpec) {
			s.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{}}
			s.AllowedNamespaces.Selector.MatchLabels = map[string]string{"a": "c"}
		},
	}
	ownerFields = map[string]func(*v1alpha1.GroupSpec){
		"spec.displayName": func(s *v1alpha1.GroupSpec) { s.DisplayName = "Acme" },
		"spec.projects":    func(s *v1alpha1.GroupSpec) { s.Projects = append(s.Projects, v1alpha1.Project{Name: "new"}) },
		"spec.routes":      func(s *v1alpha1.GroupSpec) { s.Projects[0].Routes = []v1alpha1.Route{{Paths: []string{"/new/**"}}} },
		"spec.capabilities": func(s *v1alpha1.GroupSpec) {
			s.Capabilities = []v1alpha1.Capability{{Name: "post", Routes: []v1alpha1.Route{{Methods: []string{"POST"}}}}}
		},
		"spec.keyPolicy":      func(s *v1alpha1.GroupSpec) { s.KeyPolicy.MaxLifetime = "30d" },
		"spec.contacts":       func(s *v1alpha1.GroupSpec) { s.Contacts = []v1alpha1.Contact{{Name: "ops", Email: "ops@acme.example"}} },
		"spec.allowlistsFrom": func(s *v1alpha1.GroupSpec) { s.AllowlistsFrom.From = v1alpha1.NamespacesFromAll },
	}
)

// frozen sets every platform field of a Group.
func frozen(g *v1alpha1.Group) {
	limit := resource.MustParse("100G")
	g.Spec.Tier, g.Spec.State = "Free", v1alpha1.GroupFrozen
	g.Spec.Limits.BytesPerMonth, g.Spec.Limits.Keys = &limit, ptr.To[int32](3)
	g.Spec.Context = map[string]v1alpha1.ContextValue{"database": "spec"}
	g.Spec.KeyPolicy.KeysMaySet = []v1alpha1.ContextName{"plan"}
	g.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{
		From: v1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
	}
}

var _ = Describe("Access", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	It("is by role, verb and resource as designed", func(ctx SpecContext) {
		read := []string{"get", "list", "watch"}
		write := []string{"create", "update", "patch", "delete", "deletecollection"}
		all := slices.Concat(read, write)
		want := map[string]map[string][]string{
			"view":                {"groups": read, "apikeys": read, "domainallowlists": read, "groupusages": read, "grouplogs": read},
			"edit":                {"groups": read, "apikeys": read, "domainallowlists": all, "groupusages": read, "grouplogs": read},
			"admin":               {"groups": read, "apikeys": all, "domainallowlists": all, "groupusages": read, "grouplogs": read},
			"keyward-group-owner": {"groups": slices.Concat(read, []string{"update", "patch"}), "groupusages": read, "grouplogs": read},
			"keyward-platform": {
				"groups": slices.Concat(all, []string{"manage"}), "apikeys": slices.Concat(all, []string{"import"}), "domainallowlists": all, "groupusages": read,
				"grouplogs": read,
			},
		}
		people(ctx, w)
		for who, rights := range want {
			for _, kind := range []string{"groups", "groupusages", "grouplogs", "apikeys", "domainallowlists"} {
				for _, part := range []string{"", "status", "finalizers", "scale"} {
					for _, verb := range slices.Concat(all, []string{"manage", "validate", "import"}) {
						review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
							User: w.Namespace + ":" + who, Groups: []string{"system:authenticated"},
							ResourceAttributes: &authorizationv1.ResourceAttributes{
								Group: "keyward.dev", Version: "v1alpha1", Resource: kind, Subresource: part, Verb: verb,
								Namespace: w.Namespace,
							},
						}}
						Eventually(func(g Gomega) { // the API server's authorizer sees the bindings after a while
							g.Expect(testenv.Admin.Create(ctx, review)).To(Succeed())
							g.Expect(review.Status.Allowed).To(Equal(part == "" && slices.Contains(rights[kind], verb)),
								"%s: %s %s/%s", who, verb, kind, part)
							review.ResourceVersion = ""
						}).Should(Succeed())
					}
				}
			}
		}
	})

	It("lets the owner of a Group change the owner's fields, and none of the platform's", func(ctx SpecContext) {
		group := w.CreateGroup(ctx, frozen)
		people := people(ctx, w)
		// Who writes a sealed context needs the right to read its Secrets, which no role of Groups includes.
		bindRule(ctx, w, w.Namespace+":keyward-platform", rbacv1.PolicyRule{
			APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"mail"}, Verbs: []string{"get"},
		})
		Eventually(func() error {
			changed := group.DeepCopy()
			platformFields["spec.sealedContext"](&changed.Spec)
			return people["keyward-platform"].Update(ctx, changed, client.DryRunAll)
		}).Should(Succeed())
		for who, c := range people {
			for name, change := range maps.All(merged(platformFields, ownerFields)) {
				_, platforms := platformFields[name]
				may := who == "keyward-platform" || who == "keyward-group-owner" && !platforms
				for how, attempt := range map[string]func(*v1alpha1.Group) error{
					"update": func(g *v1alpha1.Group) error { return c.Update(ctx, g, client.DryRunAll) },
					"patch":  func(g *v1alpha1.Group) error { return c.Patch(ctx, g, client.MergeFrom(group), client.DryRunAll) },
					"apply":  func(g *v1alpha1.Group) error { return apply(ctx, c, g) },
				} {
					changed := group.DeepCopy()
					change(&changed.Spec)
					err := attempt(changed)
					if may {
						Expect(err).NotTo(HaveOccurred(), "%s: %s of %s", who, how, name)
						continue
					}
					Expect(err).To(HaveOccurred(), "%s: %s of %s", who, how, name)
					if who == "keyward-group-owner" {
						Expect(err).To(MatchError(And(ContainSubstring(name+": Forbidden"), ContainSubstring("keyward-platform"))),
							"%s of %s", how, name)
					}
				}
			}
		}
	})

	It("reports all fields of the platform at once", func(ctx SpecContext) {
		group := w.CreateGroup(ctx)
		owner := people(ctx, w)["keyward-group-owner"]
		for _, change := range platformFields {
			change(&group.Spec)
		}
		err := owner.Update(ctx, group, client.DryRunAll)
		for name := range platformFields {
			Expect(err).To(MatchError(ContainSubstring(name + ": Forbidden")))
		}
	})

	It("is not checked where no field of the platform changes", func(ctx SpecContext) {
		group := w.CreateGroup(ctx, frozen)
		owner := people(ctx, w)["keyward-group-owner"]
		group.Spec.Projects = group.Spec.Projects[1:]
		group.Labels = map[string]string{"a": "b"}
		equal := resource.MustParse("0.1T")
		group.Spec.Limits.BytesPerMonth = &equal
		Expect(owner.Update(ctx, group)).To(Succeed())
		group.Finalizers = []string{"example.com/hold"}
		Expect(owner.Update(ctx, group)).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, group)).To(Succeed())
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(group), group)).To(Succeed())
		unfrozen := group.DeepCopy()
		unfrozen.Spec.State = v1alpha1.GroupActive // also while it is being deleted, which a finalizer can prolong
		Expect(owner.Update(ctx, unfrozen)).To(MatchError(ContainSubstring("spec.state: Forbidden")))
		group.Finalizers = nil
		Expect(owner.Update(ctx, group)).To(Succeed())
	})

	It("takes the verb manage for the one Group that a Role names", func(ctx SpecContext) {
		group := w.CreateGroup(ctx, frozen)
		other := w.CreateGroup(ctx, frozen, func(g *v1alpha1.Group) { g.Name = "other" })
		user := w.Namespace + ":billing"
		bind(ctx, w, user, "keyward-group-owner")
		bindRule(ctx, w, user, rbacv1.PolicyRule{APIGroups: []string{"keyward.dev"}, Resources: []string{"groups"},
			ResourceNames: []string{group.Name}, Verbs: []string{"manage"}})
		billing, _ := testenv.AsUser(user)
		group.Spec.State, other.Spec.State = v1alpha1.GroupActive, v1alpha1.GroupActive
		Eventually(func() error { return billing.Update(ctx, group.DeepCopy(), client.DryRunAll) }).Should(Succeed())
		Expect(billing.Update(ctx, other)).To(MatchError(ContainSubstring("spec.state: Forbidden")))
	})

	It("creates a Group only without fields of the platform, which may have their defaults", func(ctx SpecContext) {
		user := w.Namespace + ":writer"
		bindRule(ctx, w, user, rbacv1.PolicyRule{APIGroups: []string{"keyward.dev"}, Resources: []string{"groups"}, Verbs: groupVerbs})
		writer, _ := testenv.AsUser(user)
		plain := func() *v1alpha1.Group {
			return &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "mine"}}
		}
		Eventually(func() error { return writer.Create(ctx, plain(), client.DryRunAll) }).Should(Succeed())
		defaults := plain()
		defaults.Spec.State, defaults.Spec.AllowedNamespaces.From = v1alpha1.GroupActive, v1alpha1.NamespacesFromSame
		defaults.Spec.Context = map[string]v1alpha1.ContextValue{}
		Expect(writer.Create(ctx, defaults, client.DryRunAll)).To(Succeed())
		for name, change := range platformFields {
			g := plain()
			change(&g.Spec)
			Expect(writer.Create(ctx, g)).To(MatchError(ContainSubstring(name+": Forbidden")), name)
			Expect(apply(ctx, writer, g)).To(MatchError(ContainSubstring(name+": Forbidden")), name)
		}
		owned := plain()
		owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "a", UID: "b"}}
		Expect(writer.Create(ctx, owned)).To(MatchError(ContainSubstring("metadata.ownerReferences: Forbidden")))
		status := plain()
		status.Status.Limits = &v1alpha1.GroupLimits{Tier: "Enterprise"}
		Expect(writer.Create(ctx, status)).To(Succeed())
		Expect(status.Status.Limits).To(BeNil())
		status.Status.Limits = &v1alpha1.GroupLimits{Tier: "Enterprise"}
		Expect(writer.Status().Update(ctx, status)).To(MatchError(ContainSubstring("forbidden")))
	})

	It("cannot lift a freeze by deleting, nor by the garbage collector", func(ctx SpecContext) {
		user := w.Namespace + ":writer"
		bindRule(ctx, w, user, rbacv1.PolicyRule{APIGroups: []string{"keyward.dev"}, Resources: []string{"groups"}, Verbs: groupVerbs})
		writer, _ := testenv.AsUser(user)
		group := w.CreateGroup(ctx, frozen)
		Eventually(func() error { return writer.Delete(ctx, group) }).Should(MatchError(And(
			ContainSubstring("spec.state"), ContainSubstring("spec.limits"), ContainSubstring("spec.tier"),
			ContainSubstring("keyward-platform"))))
		Expect(writer.DeleteAllOf(ctx, &v1alpha1.Group{}, client.InNamespace(w.Namespace))).To(MatchError(ContainSubstring("spec.state")))
		for name, change := range platformFields {
			one := w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Name = "one"; change(&g.Spec) })
			Expect(writer.Delete(ctx, one)).To(MatchError(ContainSubstring(name)), name)
			Expect(testenv.Admin.Delete(ctx, one)).To(Succeed())
		}
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(group), group)).To(Succeed(), "it was stamped with who tried")
		owned := group.DeepCopy()
		owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "a", UID: "b"}}
		Expect(writer.Update(ctx, owned)).To(MatchError(ContainSubstring("metadata.ownerReferences: Forbidden")))
		Expect(testenv.Admin.Update(ctx, owned)).To(Succeed())
		owned.OwnerReferences = nil
		Expect(writer.Update(ctx, owned)).To(Succeed(), "to let go is to keep")

		plain := w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Name = "plain" })
		Expect(writer.Delete(ctx, plain)).To(Succeed())
	})

	It("lets the namespace controller and the garbage collector delete Groups", func(ctx SpecContext) {
		for _, who := range []string{"namespace-controller", "generic-garbage-collector"} {
			group := w.CreateGroup(ctx, frozen)
			controller, _ := testenv.AsUser("system:serviceaccount:kube-system:" + who)
			Expect(controller.Delete(ctx, group)).To(Succeed(), who)
		}
		w.CreateGroup(ctx, frozen)
		controller, _ := testenv.AsUser("system:serviceaccount:kube-system:namespace-controller")
		Expect(controller.DeleteAllOf(ctx, &v1alpha1.Group{}, client.InNamespace(w.Namespace))).To(Succeed())
		var left v1alpha1.GroupList
		Expect(testenv.Admin.List(ctx, &left, client.InNamespace(w.Namespace))).To(Succeed())
		Expect(left.Items).To(BeEmpty())
	})

	It("creates a default key only for users who may create keys", func(ctx SpecContext) {
		group := w.CreateGroup(ctx)
		owner := people(ctx, w)["keyward-group-owner"]
		group.Spec.DefaultKey.Enabled = ptr.To(true)
		Expect(owner.Update(ctx, group.DeepCopy(), client.DryRunAll)).To(MatchError(And(
			ContainSubstring("spec.defaultKey: Forbidden"), ContainSubstring("create"), ContainSubstring("apikeys"))))
		bind(ctx, w, w.Namespace+":keyward-group-owner", aggregated("admin")...)
		Eventually(func() error { return owner.Update(ctx, group.DeepCopy(), client.DryRunAll) }).Should(Succeed())
	})

	It("keeps keys from users who may only edit", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		key := w.CreateKey(ctx)
		people := people(ctx, w)
		for _, who := range []string{"view", "edit", "keyward-group-owner"} {
			c := people[who]
			changed := key.DeepCopy()
			changed.Spec.Revoked = ptr.To(true)
			Expect(c.Update(ctx, changed)).To(MatchError(ContainSubstring("forbidden")), who)
			Expect(c.Status().Update(ctx, key.DeepCopy())).To(MatchError(ContainSubstring("forbidden")), who)
			Expect(c.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = "more" }))).To(MatchError(ContainSubstring("forbidden")), who)
			Expect(c.Delete(ctx, key.DeepCopy())).To(MatchError(ContainSubstring("forbidden")), who)
		}
		Expect(people["admin"].Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = "more" }))).To(Succeed())
		Expect(people["edit"].Create(ctx, w.NewAllowlist())).To(Succeed())
		Expect(people["view"].Get(ctx, w.Request("web").NamespacedName, &corev1.Secret{})).To(MatchError(ContainSubstring("forbidden")))
	})
})

func merged[V any](all ...map[string]V) map[string]V {
	one := map[string]V{}
	for _, m := range all {
		maps.Copy(one, m)
	}
	return one
}

// apply dry-runs a server-side apply of a Group, as GitOps would do it.
func apply(ctx context.Context, c client.Client, g *v1alpha1.Group) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.Group{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Group"},
		ObjectMeta: metav1.ObjectMeta{Namespace: g.Namespace, Name: g.Name}, Spec: g.Spec,
	})
	if err != nil {
		return err
	}
	applied := &unstructured.Unstructured{Object: object}
	encoded, err := applied.MarshalJSON()
	if err != nil {
		return err
	}
	return c.Patch(ctx, applied, client.RawPatch(types.ApplyPatchType, encoded), client.FieldOwner("gitops"), client.ForceOwnership,
		client.DryRunAll)
}
