package cluster_test

import (
	"context"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/oidc"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

// impersonator makes a ServiceAccount that may impersonate people with some groups, and returns the file of its token.
func impersonator(ctx context.Context, w *testenv.World, groups ...string) (tokenFile string) {
	GinkgoHelper()
	own := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "console"}}
	Expect(testenv.Admin.Create(ctx, own)).To(Succeed())
	request := &authenticationv1.TokenRequest{}
	Expect(testenv.Admin.SubResource("token").Create(ctx, own, request)).To(Succeed())
	tokenFile = filepath.Join(GinkgoT().TempDir(), "token")
	Expect(os.WriteFile(tokenFile, []byte(request.Status.Token), 0o600)).To(Succeed())
	may := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace + "-console"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}},
		{APIGroups: []string{""}, Resources: []string{"groups"}, Verbs: []string{"impersonate"}, ResourceNames: groups},
	}}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: may.Name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: may.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Namespace, Name: own.Name}}}
	for _, object := range []client.Object{may, binding} {
		Expect(testenv.Admin.Create(ctx, object)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(testenv.Admin.Delete(ctx, object)).To(Succeed()) })
	}
	return tokenFile
}

var _ = Describe("Who signs in by a provider and is impersonated", func() {
	It("sees what the groups of the ID token are bound to, and strangers see nothing", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		for _, one := range shippedRoles() {
			Expect(client.IgnoreAlreadyExists(testenv.Admin.Create(ctx, &one))).To(Succeed())
		}
		for _, name := range role.ClusterRoles(role.Viewer) {
			Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, GenerateName: "spec-"},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "oidc:team-a"}},
			})).To(Succeed())
		}
		name, err := oidc.Compile("claims.sub", false)
		Expect(err).NotTo(HaveOccurred())
		groups, err := oidc.Compile("claims.groups", true)
		Expect(err).NotTo(HaveOccurred())
		i := &oidc.Impersonation{TokenFile: impersonator(ctx, w, "oidc:team-a", "oidc:team-b"), Mapping: oidc.Mapping{
			Name: name, Groups: groups, Prefix: "oidc:", Allowed: []string{"oidc:team-a", "oidc:team-b", "oidc:not-of-the-role"}}}
		reach := i.Reach(testenv.Config, func(session.Claims) (*rest.Config, error) { return nil, web.ErrForbidden })
		deskOf := func(sub, group string) *cluster.Desk {
			GinkgoHelper()
			is, has, err := i.Person(ctx, map[string]any{"sub": sub, "groups": []any{group, "system:masters"}})
			Expect(err).NotTo(HaveOccurred())
			config, err := reach(session.Claims{Name: is, Groups: has})
			Expect(err).NotTo(HaveOccurred())
			desk, err := cluster.New(person.New(is, has, config), cluster.Options{Now: w.Clock.Now, Namespaces: []string{w.Namespace}})
			Expect(err).NotTo(HaveOccurred())
			return desk
		}
		ada := deskOf("ada", "team-a")
		Eventually(func(g Gomega) {
			found, err := ada.Groups(ctx, web.ListQuery{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(namesOf(found.Groups)).To(ContainElement(ContainSubstring("acme")))
			is, _, err := ada.Member(ctx, acme(w))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(is).To(Equal(role.Viewer))
		}).Should(Succeed())
		stranger := deskOf("eve", "team-b")
		found, err := stranger.Groups(ctx, web.ListQuery{})
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Groups).To(BeEmpty())
		_, _, err = stranger.Member(ctx, acme(w))
		Expect(err).To(MatchError(web.ErrNotFound))

		By("the API server refuses a group that the ClusterRole of the console does not name")
		_, _, err = deskOf("ada", "not-of-the-role").Member(ctx, acme(w))
		Expect(err).To(HaveOccurred())
		_, err = reach(session.Claims{Name: "oidc:ada", Groups: []string{"system:masters"}})
		Expect(err).To(HaveOccurred())
	})
})
