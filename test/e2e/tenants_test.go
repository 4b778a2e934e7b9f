package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
)

// TestTenantsCannotReachEachOther applies the pattern per-tenant and tries, as a customer with the real aggregated role
// admin, to get another tenant's content. Then a Group is created where the pattern has none.
func TestTenantsCannotReachEachOther(t *testing.T) {
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick})
	v := w.startValidator(validatorSetup{instance: "tenants", flags: []string{"--namespace=tenants"}})
	eventually(t, "the pattern to be admitted", patience, func() error {
		_, err := w.kubectl("apply", "--server-side", "-k", filepath.Join(root, "config/samples/patterns/per-tenant"))
		return err
	})
	v.awaitReady()
	impersonating := rest.CopyConfig(w.config)
	impersonating.Impersonate = rest.ImpersonationConfig{UserName: "hank", Groups: []string{"globex:admins", "system:authenticated"}}
	hank, err := client.New(impersonating, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	globex := *w
	globex.namespace = "globex"
	globex.awaitKey("storefront", "ready", isReady)
	eventually(t, "hank to be admin of globex", patience, func() error { // roles are added up a little later
		return hank.List(w.ctx, &v1alpha1.ApiKeyList{}, client.InNamespace("globex"))
	})

	denied := func(what, mention string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), mention) {
			t.Errorf("%s: %v", what, err)
		}
	}
	thief := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "globex", Name: "thief"}}
	thief.Spec.Context = map[string]v1alpha1.ContextValue{"database": "initech"}
	denied("a Group of their own", "forbidden", hank.Create(w.ctx, thief.DeepCopy()))
	own := &v1alpha1.Group{}
	if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: "tenants", Name: "globex"}, own); err != nil {
		t.Fatal(err)
	}
	own.Spec.Context["database"] = "initech"
	denied("another context", "forbidden", hank.Update(w.ctx, own))
	denied("a role of the platform's", "forbidden", hank.Create(w.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "globex", Name: "more"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "keyward-platform"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "hank"}},
	}))
	key := globex.newKey("foreign")
	key.Spec.GroupRef, key.Spec.Projects = v1alpha1.GroupReference{Namespace: "tenants", Name: "initech"}, []v1alpha1.ProjectName{"storefront"}
	allowed := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	notAdmitted := func(conditions []metav1.Condition) bool {
		c := meta.FindStatusCondition(conditions, v1alpha1.ConditionStalled)
		return c != nil && c.Status == metav1.ConditionTrue && c.Reason == v1alpha1.ReasonNamespaceNotAllowed
	}
	allowed("a key of another's Group, which then says why it is none", hank.Create(w.ctx, key))
	globex.awaitKey("foreign", "blocked", func(k *v1alpha1.ApiKey) bool {
		return k.Status.State == v1alpha1.KeyBlocked && len(k.Status.Versions) == 0 && notAdmitted(k.Status.Conditions)
	})
	list := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: "globex", Name: "foreign"}}
	list.Spec.GroupRef, list.Spec.Projects = key.Spec.GroupRef, key.Spec.Projects
	list.Spec.Domains, list.Spec.AllowLocalhost = []string{"evil.example"}, ptr.To(true)
	allowed("an allowlist of another's Group, which then says why it does not count", hank.Create(w.ctx, list))
	eventually(t, "the allowlist not to count", patience, func() error {
		if err := w.admin.Get(w.ctx, client.ObjectKeyFromObject(list), list); err != nil {
			return err
		}
		if !notAdmitted(list.Status.Conditions) {
			return fmt.Errorf("its status is %+v", list.Status)
		}
		return nil
	})

	// A customer cannot create it. If such a Group existed, it would have no effect at this server.
	if err := w.admin.Create(w.ctx, thief); err != nil {
		t.Fatal(err)
	}
	made := globex.newKey("thief")
	made.Spec.GroupRef, made.Spec.Projects = v1alpha1.GroupReference{Name: "thief"}, []v1alpha1.ProjectName{v1alpha1.DefaultProject}
	eventually(t, "a key of a Group elsewhere to be admitted", patience, func() error {
		return client.IgnoreAlreadyExists(hank.Create(w.ctx, made))
	})
	globex.awaitKey("thief", "ready", isReady)
	v.requires(t, globex.plaintext("thief"), "key_unknown")
	v.requires(t, globex.plaintext("storefront"), "project_unknown") // it is known; the path that is asked is nobody's
}
