package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/sidecarrole"
)

// liveThroughSidecars has a Pod refused, and the Role of a Group's sidecars created, corrected and deleted, after its name and that of
// its RoleBinding were somebody else's.
func (w *world) liveThroughSidecars(group string) {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: "content", Labels: map[string]string{v1alpha1.LabelInject: v1alpha1.InjectValidator},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "content", Image: "content"}}},
	}
	if err := w.admin.Create(w.ctx, pod); err == nil || !strings.Contains(err.Error(), "the namespace does not allow sidecars") {
		w.t.Errorf("a Pod with a label that has no effect: %v", err)
	}

	name := sidecarrole.Name(group)
	meta := metav1.ObjectMeta{Namespace: w.namespace, Name: name}
	foreignRole := &rbacv1.Role{ObjectMeta: meta}
	foreignBinding := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "none"}}
	w.create(foreignRole)
	w.create(foreignBinding)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	owner := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: group}}
	w.mergePatch(namespace, `{"metadata":{"labels":{"keyward.dev/injection":"enabled"},"annotations":{"keyward.dev/injection-roles":"automatic"}}}`)
	w.mergePatch(owner, `{"metadata":{"annotations":{"keyward.dev/injection-roles":"automatic"}}}`)
	for i, foreign := range []client.Object{foreignRole, foreignBinding} {
		w.awaitRequest("get", []string{"roles", "rolebindings"}[i], name)
		if err := w.admin.Delete(w.ctx, foreign); err != nil {
			w.t.Fatal(err)
		}
		w.mergePatch(owner, fmt.Sprintf(`{"metadata":{"annotations":{"touched":"%d"}}}`, i)) // it would look again after a minute
	}
	role, binding := &rbacv1.Role{ObjectMeta: meta}, &rbacv1.RoleBinding{ObjectMeta: meta}
	w.awaitGranted(role, binding)

	w.mergePatch(role, `{"rules":[]}`)
	w.awaitGranted(role, binding)
	w.mergePatch(binding, `{"subjects":[]}`)
	w.awaitGranted(role, binding)

	w.mergePatch(owner, `{"metadata":{"annotations":{"keyward.dev/injection-roles":null}}}`)
	w.awaitGone(name, &rbacv1.RoleBinding{})
	w.awaitGone(name, &rbacv1.Role{})
	w.mergePatch(namespace, `{"metadata":{"labels":{"keyward.dev/injection":null}}}`)
	w.awaitGone(v1alpha1.TrustName, &corev1.ConfigMap{}) // which the namespace had because of that label
}

func (w *world) mergePatch(object client.Object, patch string) {
	w.t.Helper()
	if err := w.admin.Patch(w.ctx, object, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		w.t.Fatal(err)
	}
}

// awaitGranted waits until the Role and the RoleBinding are the manager's, and complete.
func (w *world) awaitGranted(role *rbacv1.Role, binding *rbacv1.RoleBinding) {
	w.t.Helper()
	eventually(w.t, "the Role of sidecars", patience, func() error {
		err := errors.Join(w.admin.Get(w.ctx, client.ObjectKeyFromObject(role), role),
			w.admin.Get(w.ctx, client.ObjectKeyFromObject(binding), binding))
		if err == nil && (len(role.Rules) != 1 || len(binding.Subjects) != 1 || binding.RoleRef.Name != role.Name) {
			err = errors.New("it is not complete")
		}
		return err
	})
}

// awaitRequest waits until the manager has sent a request, and got a response without an error.
func (w *world) awaitRequest(verb, resource, name string) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("the manager to %s %s %s", verb, resource, name), patience, func() error {
		requests, err := w.requests()
		if err == nil && !slices.ContainsFunc(requests, func(a audited) bool {
			return a.User.Username == managerUser && a.Verb == verb && a.ObjectRef != nil && a.resource() == resource &&
				a.ObjectRef.Namespace == w.namespace && a.ObjectRef.Name == name && a.ResponseStatus.Code == http.StatusOK
		}) {
			err = errors.New("there is no such request")
		}
		return err
	})
}
