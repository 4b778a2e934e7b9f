package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func testNewNamespace(t *testing.T, c *running, admin kubernetes.Interface) {
	create(t, admin.CoreV1().Namespaces().Create, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fresh"}})
	eventually(t, func(ctx context.Context) error {
		_, err := admin.CoreV1().ServiceAccounts("fresh").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	eventually(t, func(ctx context.Context) error {
		published, err := admin.CoreV1().ConfigMaps("fresh").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		if err == nil && published.Data["ca.crt"] != string(c.config(t).CAData) {
			err = fmt.Errorf("the certificates are %q", published.Data["ca.crt"])
		}
		return err
	})
}

func testTokenSecret(t *testing.T, c *running, admin kubernetes.Interface) {
	create(t, admin.CoreV1().ServiceAccounts("acme").Create, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}})
	create(t, admin.CoreV1().Secrets("acme").Create, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "robot", Annotations: map[string]string{corev1.ServiceAccountNameKey: "robot"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	})
	eventually(t, func(ctx context.Context) error {
		secret, err := admin.CoreV1().Secrets("acme").Get(ctx, "robot", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !bytes.Equal(secret.Data["ca.crt"], c.config(t).CAData) {
			return fmt.Errorf("the certificates are %q", secret.Data["ca.crt"])
		}
		config := rest.AnonymousClientConfig(c.config(t))
		config.BearerToken = string(secret.Data["token"])
		_, err = kubernetes.NewForConfigOrDie(config).CoreV1().Pods("acme").List(ctx, metav1.ListOptions{})
		if !apierrors.IsForbidden(err) {
			return fmt.Errorf("the token authenticates nobody without a Role: %w", err)
		}
		return nil
	})
}

func testAggregation(t *testing.T, admin kubernetes.Interface) {
	rule := rbacv1.PolicyRule{APIGroups: []string{"example.com"}, Resources: []string{"things"}, Verbs: []string{"get"}}
	create(t, admin.RbacV1().ClusterRoles().Create, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "things", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
		Rules:      []rbacv1.PolicyRule{rule},
	})
	eventually(t, func(ctx context.Context) error {
		view, err := admin.RbacV1().ClusterRoles().Get(ctx, "view", metav1.GetOptions{})
		if err == nil && !slices.ContainsFunc(view.Rules, func(r rbacv1.PolicyRule) bool { return slices.Equal(r.Resources, rule.Resources) }) {
			err = errors.New("view lacks the rule")
		}
		return err
	})
}

// testQuota uses up a quota and frees it again.
func testQuota(t *testing.T, admin kubernetes.Interface) {
	const counted = corev1.ResourceName("count/secrets")
	create(t, admin.CoreV1().Namespaces().Create, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "small"}})
	create(t, admin.CoreV1().ResourceQuotas("small").Create, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "one"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{counted: resource.MustParse("1")}},
	})
	secrets := admin.CoreV1().Secrets("small")
	add := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
			return err
		}
	}
	eventually(t, add("first")) // a quota that was not counted yet refuses everything
	if err := add("second")(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("got %v beyond the quota, want Forbidden", err)
	}
	if err := secrets.Delete(t.Context(), "first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, add("second"))
}

// eventually waits until check succeeds.
func eventually(t *testing.T, check func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Errorf("%v: %v", err, last)
	}
}
