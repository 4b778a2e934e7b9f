package e2e

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/hack/run/mounts"
)

// TestMissingPermissionShows starts a validation server that is not authorized for the Group that it requests.
func TestMissingPermissionShows(t *testing.T) {
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick})
	w.createGroup()
	serviceAccount := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "outsider"}}
	w.create(serviceAccount)
	token := mounts.Token{Namespace: w.namespace, ServiceAccount: serviceAccount.Name, Audience: v1alpha1.SyncAudience,
		Dir: w.path("outsider", w.namespace)}
	if err := token.Project(w.ctx, w.core, complain); err != nil {
		t.Fatal(err)
	}
	v := w.startValidator(validatorSetup{instance: "outsider", token: &token, flags: []string{"--group=" + w.namespace + "/acme"}})

	user := "system:serviceaccount:" + w.namespace + ":outsider"
	eventually(t, "one line in the log that says what to do", patience, func() error {
		log, err := os.ReadFile(v.log)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, `"level":"WARN"`) && strings.Contains(line, user+" may not validate Group "+w.namespace+"/acme") &&
				strings.Contains(line, "bind it to a Role with the verb validate on groups.keyward.dev") &&
				strings.Contains(line, `"hint":"allow the verb validate`) {
				return nil
			}
		}
		return errors.New("the log has no such line:\n" + string(log))
	})
	if status, body, err := get("http://" + v.listens.Admin.String() + "/readyz"); err != nil ||
		status != http.StatusServiceUnavailable || !strings.Contains(body, "not synced") {
		t.Errorf("/readyz answers %d %s (%v)", status, body, err)
	}
	v.requires(t, strangeKey(t), "not_synced")

	// Following the hint helps, without a restart.
	w.create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "validator"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"keyward.dev"}, Resources: []string{"groups"}, ResourceNames: []string{"acme"}, Verbs: []string{"validate"},
	}}})
	w.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "validator"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "validator"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.namespace, Name: "outsider"}},
	})
	v.awaitReady()
	v.requires(t, w.mint("web"), "allowed")
}
