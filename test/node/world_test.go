package node

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	sampleKey        = "acme-web"
	sidecarNamespace = "sidecar"
	sidecarKey       = "website"
	// The content server behind validation servers of the platform, and the one behind its own sidecars.
	scene        = "http://keyward-validator.keyward-system.svc.cluster.local:8080/api/scenes/mkt-hero"
	sidecarScene = "http://content.sidecar.svc.cluster.local/api/scenes/mkt-hero"
)

// install installs Keyward, the sample content, the sample tenants with validation servers and with sidecars, and starts the loads.
func (c *cluster) install(t *testing.T) {
	t.Helper()
	begin := time.Now()
	c.load(t, nil, built, around)
	t.Logf("the images are loaded after %s", time.Since(begin).Round(100*time.Millisecond))
	c.mustKubectl(t, "apply", "--server-side", "-k", filepath.Join(root, "config/node"))
	c.mustKubectl(t, "-n", systemNamespace, "create", "secret", "generic", "keyward-validator-admin",
		"--from-literal=token=only-for-tests-on-a-node")
	for _, samples := range []string{"config/samples", "config/samples/sidecar"} {
		c.applied(t, "-k", filepath.Join(root, samples))
	}
	c.mustKubectl(t, "label", "namespace", tenantNamespace, "pod-security.kubernetes.io/enforce=restricted")
	for _, rollout := range [][2]string{
		{systemNamespace, "keyward-manager"}, {systemNamespace, "keyward-validator"}, {contentNamespace, "content"}, {sidecarNamespace, "content"},
	} {
		c.rolledOut(t, rollout[0], rollout[1])
	}
	c.loads = []load{{c, tenantNamespace, scene, sampleKey}, {c, sidecarNamespace, sidecarScene, sidecarKey}}
	for _, l := range c.loads {
		c.enforced(t, l.namespace, l.secret)
		l.start(t)
	}
	t.Logf("requests are answered after %s", time.Since(begin).Round(100*time.Millisecond))
}

// rolledOut waits until all replicas of a Deployment are available and current.
func (c *cluster) rolledOut(t *testing.T, namespace, name string) {
	t.Helper()
	c.mustKubectl(t, "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout", patience.String())
}

// replaced waits until also the Pods of before have ended, which serve for some seconds more.
func (c *cluster) replaced(t *testing.T, namespace, name string) {
	t.Helper()
	c.rolledOut(t, namespace, name)
	await(t, "the end of earlier Pods of "+name, func(ctx context.Context) error {
		deployment, err := c.core.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		var list corev1.PodList
		err = c.objects.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels(deployment.Spec.Selector.MatchLabels))
		if err == nil && len(list.Items) != int(deployment.Status.Replicas) {
			err = fmt.Errorf("there are %d Pods of %d", len(list.Items), deployment.Status.Replicas)
		}
		return err
	})
}

// enforced waits until the present generation of a key is in force.
func (c *cluster) enforced(t *testing.T, namespace, name string) {
	t.Helper()
	await(t, "the enforcement of "+namespace+"/"+name, func(ctx context.Context) error {
		var key v1alpha1.ApiKey
		if err := c.objects.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &key); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionEnforced)
		if condition == nil || condition.Status != metav1.ConditionTrue || condition.ObservedGeneration != key.Generation {
			return fmt.Errorf("it is not enforced: %+v", key.Status.Conditions)
		}
		return nil
	})
}

// pods returns the Pods of a Deployment that are not about to end.
func (c *cluster) pods(ctx context.Context, namespace string, labels client.MatchingLabels) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := c.objects.List(ctx, &list, client.InNamespace(namespace), labels); err != nil {
		return nil, err
	}
	var pods []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}
