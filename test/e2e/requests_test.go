package e2e

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// bind gives a user a ClusterRole in the namespace.
func (w *world) bind(user, clusterRole string) {
	w.t.Helper()
	w.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: user + "-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
}

// as returns a client of a user.
func (w *world) as(user string) client.Client {
	w.t.Helper()
	config := rest.CopyConfig(w.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	of, err := client.New(config, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		w.t.Fatal(err)
	}
	return of
}

// plugin runs kubectl keyward as a user, in the namespace.
func (w *world) plugin(user string, args ...string) (string, error) {
	cmd := exec.CommandContext(w.ctx, bin("e2e", "kubectl-keyward"), append(args,
		"--as", user, "--namespace", w.namespace, "--kubeconfig", w.path("kubeconfig"))...)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// does runs kubectl keyward as a user, until the roles of the user are there.
func (w *world) does(user string, args ...string) string {
	w.t.Helper()
	var output string
	eventually(w.t, user+" to do: "+strings.Join(args, " "), patience, func() (err error) {
		if output, err = w.plugin(user, args...); err != nil {
			w.t.Logf("%s", output)
		}
		return err
	})
	return output
}

// TestRequestedKey: joe, who may not create ApiKeys, asks for a key with the plugin; olga, who has no rights where joe is, approves. The key
// reaches content until olga withdraws; and when joe deletes the request, nothing of it is left but the log.
func TestRequestedKey(t *testing.T) {
	w := newWorld(t)
	if err := goBuild(w.ctx, "-o", bin("e2e", "kubectl-keyward"), "./cmd/kubectl-keyward"); err != nil {
		t.Fatal(err)
	}
	w.lead(managerSetup{startupGrace: quick})
	v := w.startValidators("one")[0]
	w.createGroup()
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "acme"}}
	w.mergePatch(group, `{"spec":{"keyPolicy":{"requests":"Manual"},"allowedNamespaces":{"from":"All"}}}`)
	shop := *w
	shop.namespace = w.namespace + "-shop"
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop.namespace}}
	w.create(namespace)
	t.Cleanup(func() { _ = w.admin.Delete(context.WithoutCancel(w.ctx), namespace) })
	shop.bind("joe", "keyward-requester")
	w.bind("olga", "keyward-group-owner")

	const name = "web"
	shop.does("joe", "request", w.namespace+"/acme", name, "--project", "marketing", "--use-case", "The shop shows scenes", "--lifetime", "90d")
	request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: shop.namespace, Name: name}}
	w.awaitRequested(request, v1alpha1.KeyRequestPending)
	eventually(t, "olga to see the request", patience, func() error {
		_, err := w.plugin("olga", "approve", "acme/"+name, "--reason", "The shop is a customer")
		return err
	})
	shop.awaitKey(name, "ready", isReady)
	key := shop.plaintext(name)
	v.awaits(key, "allowed")
	joeMayNotDoMore(t, w, &shop, request)

	w.does("olga", "withdraw", "acme/"+name, "--yes", "--reason", "The contract has ended")
	v.awaits(key, "key_revoked")
	w.awaitRequested(request, v1alpha1.KeyRequestWithdrawn)
	review := w.reviewOf(request)
	if err := w.as("joe").Delete(w.ctx, request); err != nil {
		t.Fatal(err)
	}
	w.awaitGone(review.Name, &v1alpha1.KeyRequestReview{})
	shop.awaitGone(name, &v1alpha1.ApiKey{})
	shop.awaitGone(name, &corev1.Secret{})
	v.awaits(key, "key_unknown")
	w.awaitActors(map[groupevent.Type]string{
		groupevent.TypeRequestCreated: "joe", groupevent.TypeRequestApproved: "olga", groupevent.TypeRequestWithdrawn: "olga",
	})
}

// joeMayNotDoMore than ask: neither create an ApiKey, nor decide, nor say in the status that somebody has.
func joeMayNotDoMore(t *testing.T, w, shop *world, request *v1alpha1.KeyRequest) {
	t.Helper()
	joe := w.as("joe")
	own := shop.newKey("own")
	own.Spec.GroupRef.Namespace = w.namespace
	status := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"state":"Approved"}}`))
	for what, err := range map[string]error{
		"an ApiKey":           joe.Create(w.ctx, own),
		"the Secret of a key": joe.Get(w.ctx, client.ObjectKeyFromObject(request), &corev1.Secret{}),
		"the review":          joe.Get(w.ctx, client.ObjectKeyFromObject(w.reviewOf(request)), &v1alpha1.KeyRequestReview{}),
		"a status":            joe.Status().Patch(w.ctx, request.DeepCopy(), status),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if output, err := w.plugin("joe", "withdraw", "acme/"+request.Name, "--yes"); err == nil {
		t.Errorf("joe decides: %s", output)
	}
}

// awaitActors waits until the log of the Group has an event of each type, once, of this user, and olga reads them.
func (w *world) awaitActors(want map[groupevent.Type]string) {
	w.t.Helper()
	eventually(w.t, "the requests to be in the log", patience, func() error {
		got := map[groupevent.Type]string{}
		for _, event := range w.wholeLog() {
			if _, is := want[event.Type]; is {
				got[event.Type] += event.Actor.User
			}
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("it has %v", got)
		}
		return nil
	})
	if output := w.does("olga", "audit", "acme", "--type", "request"); !strings.Contains(output, "joe") || !strings.Contains(output, "olga") {
		w.t.Errorf("olga reads:\n%s", output)
	}
}
