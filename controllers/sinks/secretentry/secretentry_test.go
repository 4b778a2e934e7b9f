package secretentry_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/controllers/sinks/secretentry"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

func TestSpecs(t *testing.T) { testenv.Run(t, "controllers/sinks/secretentry") }

var _ = Describe("An entry of a Secret", func() {
	It("is read by whoever may list Secrets in the namespace, and no other is", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		user := w.Namespace + ":manager"
		in := metav1.ObjectMeta{Namespace: w.Namespace, Name: "manager"}
		Expect(testenv.Admin.Create(ctx, &rbacv1.Role{ObjectMeta: in, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list"}},
		}})).To(Succeed())
		Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: in, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "manager"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		})).To(Succeed())
		for _, name := range []string{"keyward-sinks", "other"} {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
			secret.Data = map[string][]byte{"siem": []byte("of " + name), "empty": {}}
			Expect(testenv.Admin.Create(ctx, secret)).To(Succeed())
		}
		c, _ := testenv.AsUser(user)
		r := &secretentry.Reader{Reader: c, Namespace: w.Namespace}
		read := func(name, key string) (string, error) {
			entry, err := r.Entry(ctx, name, key)
			return string(entry), err
		}
		Eventually(func() (string, error) { return read("keyward-sinks", "siem") }).Should(Equal("of keyward-sinks"), "rights take effect")
		Expect(read("keyward-sinks", "empty")).To(BeEmpty())
		_, err := read("keyward-sinks", "soc")
		Expect(err).To(MatchError(And(ContainSubstring(`has no entry "soc"; add it`), Not(ContainSubstring("of keyward-sinks")))))
		_, err = read("unknown", "siem")
		Expect(err).To(MatchError(ContainSubstring("there is no Secret " + w.Namespace + "/unknown; create it")))
		r.Namespace = "kube-system"
		_, err = read("keyward-sinks", "siem")
		Expect(err).To(MatchError(ContainSubstring("forbidden")))
	})
})
