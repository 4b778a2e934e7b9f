package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

func TestSpecs(t *testing.T) { testenv.Run(t, "cluster") }

// shippedRoles are the ClusterRoles for people, as they are installed.
func shippedRoles() (all []rbacv1.ClusterRole) {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "users.yaml"))
	Expect(err).NotTo(HaveOccurred())
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var one rbacv1.ClusterRole
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		Expect(err).NotTo(HaveOccurred())
		if one.Kind == "ClusterRole" {
			all = append(all, one)
		}
	}
}

// bind gives a user ClusterRoles in the namespace.
func bind(ctx context.Context, w *testenv.World, user string, names ...string) {
	GinkgoHelper()
	for _, one := range shippedRoles() {
		Expect(client.IgnoreAlreadyExists(testenv.Admin.Create(ctx, &one))).To(Succeed())
	}
	for _, name := range names {
		give(ctx, w, user, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name})
	}
}

// bindRule gives a user one right in the namespace, with a Role of its own.
func bindRule(ctx context.Context, w *testenv.World, user string, rule rbacv1.PolicyRule) {
	GinkgoHelper()
	own := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, GenerateName: "spec-"}, Rules: []rbacv1.PolicyRule{rule}}
	Expect(testenv.Admin.Create(ctx, own)).To(Succeed())
	give(ctx, w, user, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: own.Name})
}

func give(ctx context.Context, w *testenv.World, user string, ref rbacv1.RoleRef) {
	GinkgoHelper()
	Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, GenerateName: "spec-"}, RoleRef: ref,
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})).To(Succeed())
}

// deskOf is the desk of a user, by the clock of the World.
func deskOf(w *testenv.World, user string, namespaces ...string) *cluster.Desk {
	GinkgoHelper()
	config := rest.CopyConfig(testenv.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	desk, err := cluster.New(person.New(user, nil, config), cluster.Options{Now: w.Clock.Now, Namespaces: namespaces})
	Expect(err).NotTo(HaveOccurred())
	return desk
}

// join makes a user one of the Group, and waits until the API server knows.
func join(ctx context.Context, w *testenv.World, is role.Role, namespaces ...string) *cluster.Desk {
	GinkgoHelper()
	user := w.Namespace + ":" + string(is)
	bind(ctx, w, user, role.ClusterRoles(is)...)
	desk := deskOf(w, user, namespaces...)
	Eventually(func(g Gomega) {
		got, _, err := desk.Member(ctx, acme(w))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(got).To(Equal(is))
	}).Should(Succeed())
	return desk
}

// acme is the Group of the World, and webOf the key web of it.
func acme(w *testenv.World) place.Group { return place.Group{Namespace: w.Namespace, Name: "acme"} }

func webOf(w *testenv.World) place.Key {
	return place.Key{Group: acme(w), Namespace: w.Namespace, Name: "web"}
}
