package cluster_test

import (
	"context"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

// someone is a person in the matrix.
type someone struct {
	name  string
	sees  bool // the Group exists for them
	may   func(role.Operation) bool
	admit func(ctx context.Context, w *testenv.World, user string)
}

func people() []someone {
	var all []someone
	for _, is := range role.All() {
		all = append(all, someone{string(is), true, func(o role.Operation) bool { return role.May(is, o) },
			func(ctx context.Context, w *testenv.World, user string) { bind(ctx, w, user, role.ClusterRoles(is)...) }})
	}
	owner := func(o role.Operation) bool { return role.May(role.Owner, o) }
	nothing := func(role.Operation) bool { return false }
	return append(all,
		someone{"platform", true, func(o role.Operation) bool { return o == readInstallation || owner(o) }, func(ctx context.Context, w *testenv.World, user string) {
			bind(ctx, w, user)
			Expect(testenv.Admin.Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace + "-platform"},
				RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "keyward-platform"},
				Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}})).To(Succeed())
		}},
		someone{"admin who reads Secrets", true, func(o role.Operation) bool { return o == role.ReadSecret || role.May(role.Admin, o) },
			func(ctx context.Context, w *testenv.World, user string) {
				bind(ctx, w, user, role.ClusterRoles(role.Admin)...)
				bindRule(ctx, w, user, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})
			}},
		someone{"viewer who reads Secrets", true, func(o role.Operation) bool { return role.May(role.Viewer, o) },
			func(ctx context.Context, w *testenv.World, user string) {
				bind(ctx, w, user, role.ClusterRoles(role.Viewer)...)
				bindRule(ctx, w, user, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})
			}},
		someone{"viewer who reads requests", true, func(o role.Operation) bool { return o == role.ReadReviews || role.May(role.Viewer, o) },
			func(ctx context.Context, w *testenv.World, user string) {
				bind(ctx, w, user, role.ClusterRoles(role.Viewer)...)
				bindRule(ctx, w, user, keyward("keyrequestreviews", "get", "list"))
			}},
		someone{"viewer who writes requests and may not approve", true, func(o role.Operation) bool { return o == role.ReadReviews || role.May(role.Viewer, o) },
			func(ctx context.Context, w *testenv.World, user string) {
				bind(ctx, w, user, role.ClusterRoles(role.Viewer)...)
				bindRule(ctx, w, user, keyward("keyrequestreviews", "get", "list", "patch", "update"))
			}},
		someone{"viewer who may ask", true, func(o role.Operation) bool {
			return o == role.RequestKey || o == role.DeleteRequest || role.May(role.Viewer, o)
		}, func(ctx context.Context, w *testenv.World, user string) {
			bind(ctx, w, user, append(role.ClusterRoles(role.Viewer), "keyward-requester")...)
		}},
		someone{"viewer who may ask and not delete", true, func(o role.Operation) bool { return o == role.RequestKey || role.May(role.Viewer, o) },
			func(ctx context.Context, w *testenv.World, user string) {
				bind(ctx, w, user, role.ClusterRoles(role.Viewer)...)
				bindRule(ctx, w, user, keyward("keyrequests", "create"))
			}},
		someone{"viewer who may approve", true, func(o role.Operation) bool {
			return o == role.ReadReviews || o == role.DecideRequest || role.May(role.Viewer, o)
		}, func(ctx context.Context, w *testenv.World, user string) {
			bind(ctx, w, user, role.ClusterRoles(role.Viewer)...)
			bindRule(ctx, w, user, keyward("keyrequestreviews", "get", "list", "patch"))
			approve := keyward("groups", v1alpha1.VerbApprove)
			approve.ResourceNames = []string{"acme"}
			bindRule(ctx, w, user, approve)
		}},
		someone{"viewer who may approve for another Group", true, func(o role.Operation) bool { return o == role.ReadReviews || role.May(role.Viewer, o) },
			func(ctx context.Context, w *testenv.World, user string) {
				bind(ctx, w, user, role.ClusterRoles(role.Viewer)...)
				bindRule(ctx, w, user, keyward("keyrequestreviews", "get", "list", "patch"))
				approve := keyward("groups", v1alpha1.VerbApprove)
				approve.ResourceNames = []string{"other"}
				bindRule(ctx, w, user, approve)
			}},
		someone{"somebody on call", false, func(o role.Operation) bool { return o == readInstallation }, func(ctx context.Context, w *testenv.World, user string) {
			bind(ctx, w, user, "keyward-installation-reader")
		}},
		someone{"stranger", false, nothing, func(context.Context, *testenv.World, string) {}},
		someone{"owner of another Group", false, nothing, func(ctx context.Context, _ *testenv.World, user string) {
			elsewhere := testenv.NewWorld(ctx)
			elsewhere.CreateGroup(ctx)
			bind(ctx, elsewhere, user, role.ClusterRoles(role.Owner)...)
		}},
	)
}

func keyward(resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, Verbs: verbs}
}
