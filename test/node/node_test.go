package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

var (
	managerLabels   = client.MatchingLabels{"app.kubernetes.io/component": "manager"}
	validatorLabels = client.MatchingLabels{"app.kubernetes.io/component": "validator"}
	contentLabels   = client.MatchingLabels{"app.kubernetes.io/name": "content"}
	sidecarLabels   = client.MatchingLabels{"app": "content"}
)

// TestNode is a single test, because starting a cluster and installing Keyward takes most of the time.
func TestNode(t *testing.T) {
	t.Parallel() // with TestReadHowTo, which waits for Pods most of the time, on a node of its own
	c := startCluster(t, "--kubelet-sync", kubeletSync())
	c.install(t)
	t.Run("Pod Security is enforced", c.testPodSecurity)
	t.Run("a rotated key reaches a Pod", c.testRotation)
	t.Run("validators roll", func(t *testing.T) {
		c.underLoad(t, "both validation servers are replaced", func() { c.restart(t, systemNamespace, "keyward-validator") })
	})
	t.Run("Pods with sidecars roll", func(t *testing.T) {
		c.underLoad(t, "both Pods with sidecars are replaced", func() { c.restart(t, sidecarNamespace, "content") })
	})
	t.Run("managers roll", c.testManagers)
	t.Run("the authority is renewed", c.testAuthority)
	t.Run("everything but the load is evicted", c.testDrain)
	t.Run("a Job with a sidecar ends", c.testSidecarJob)
	t.Run("a Job with a sidecar by a label ends", c.testInjectedJob)
	t.Run("validators start from their snapshots when the node restarts", c.testNodeRestart)
	writeTable(t, c.rows)
}

// testManagers replaces the managers by such that renew an authority as soon as kubelets have the next one.
func (c *cluster) testManagers(t *testing.T) {
	c.underLoad(t, "both managers are replaced", func() {
		c.mustKubectl(t, "-n", systemNamespace, "patch", "deployment", "keyward-manager", "--type=json", "-p",
			`[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--authority-overlap=`+authorityOverlap(t).String()+`"}]`)
		c.replaced(t, systemNamespace, "keyward-manager")
	})
	c.newKey(t, "after-rollout")
}

// testPodSecurity shows that the level that the shipped Pods keep to is enforced, not just labelled.
func (c *cluster) testPodSecurity(t *testing.T) {
	for _, namespace := range []string{systemNamespace, contentNamespace, tenantNamespace, sidecarNamespace} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "careless"}}
		pod.Spec.Containers = []corev1.Container{{Name: "app", Image: appImage}}
		err := c.objects.Create(t.Context(), pod)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `violates PodSecurity "restricted:latest"`) {
			t.Errorf("%s admits a Pod without a security context: %v", namespace, err)
		}
	}
}

// testRotation waits until the app in the Pod uses the new version of its key.
func (c *cluster) testRotation(t *testing.T) {
	sending := c.loads[0]
	before, err := sending.report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.underLoad(t, "a key is rotated, until the Pod that mounts it uses the new version", func() {
		c.mustKubectl(t, "-n", tenantNamespace, "patch", "apikey", sampleKey, "--type=merge", "-p",
			`{"spec":{"rotation":{"trigger":"`+time.Now().Format(time.RFC3339Nano)+`"}}}`)
		await(t, "the new version in its Secret", func(ctx context.Context) error {
			var secret corev1.Secret
			if err := c.objects.Get(ctx, client.ObjectKey{Namespace: tenantNamespace, Name: sampleKey}, &secret); err != nil {
				return err
			}
			if strings.HasSuffix(string(secret.Data[v1alpha1.SecretKeyAPIKey]), before.Key) {
				return errors.New("it has the earlier version")
			}
			return nil
		})
		written := time.Now()
		await(t, "the new version in the Pod", func(ctx context.Context) error {
			now, err := sending.report(ctx)
			if err == nil && now.Keys == before.Keys {
				err = errors.New("it uses the earlier version")
			}
			return err
		})
		t.Logf("the new version is in the Pod %s after it is in the Secret", time.Since(written).Round(100*time.Millisecond))
	})
}

func (c *cluster) restart(t *testing.T, namespace, deployment string) {
	t.Helper()
	c.mustKubectl(t, "-n", namespace, "rollout", "restart", "deployment/"+deployment)
	c.replaced(t, namespace, deployment)
}

// newKey creates an ApiKey, which needs a manager that leads and validators that acknowledge.
func (c *cluster) newKey(t *testing.T, name string) {
	t.Helper()
	c.apply(t, fmt.Sprintf(`
apiVersion: keyward.dev/v1alpha1
kind: ApiKey
metadata: {name: %s, namespace: %s}
spec: {groupRef: {name: acme}, projects: [product], expiresAfter: 1h}
`, name, tenantNamespace))
	c.mustKubectl(t, "-n", tenantNamespace, "wait", "apikey/"+name, "--for=condition=Enforced", "--timeout", patience.String())
}

// testDrain evicts all Pods of Keyward and of the content service, as kubectl drain does: as soon as their budgets allow it.
func (c *cluster) testDrain(t *testing.T) {
	var refused int
	c.underLoad(t, "everything but the load is evicted, as `kubectl drain` does", func() {
		for _, group := range []struct {
			namespace string
			labels    client.MatchingLabels
		}{{systemNamespace, validatorLabels}, {systemNamespace, managerLabels}, {contentNamespace, contentLabels}, {sidecarNamespace, sidecarLabels}} {
			pods, err := c.pods(t.Context(), group.namespace, group.labels)
			if err != nil {
				t.Fatal(err)
			}
			if len(pods) < 2 {
				t.Fatalf("%d Pods with %v, want at least 2", len(pods), group.labels)
			}
			for _, pod := range pods {
				await(t, "the eviction of "+pod.Name, func(ctx context.Context) error {
					err := c.core.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{
						Namespace: pod.Namespace, Name: pod.Name}})
					if apierrors.IsTooManyRequests(err) {
						refused++
					}
					return err
				})
			}
		}
		for _, deployment := range [][2]string{
			{systemNamespace, "keyward-validator"}, {systemNamespace, "keyward-manager"}, {contentNamespace, "content"}, {sidecarNamespace, "content"},
		} {
			c.replaced(t, deployment[0], deployment[1])
		}
	})
	if refused == 0 {
		t.Error("no budget ever refused an eviction")
	}
	t.Logf("budgets refused %d evictions for the time being", refused)
}

// testNodeRestart restarts the node while there is no manager: the containers start again, in the Pods that they were in.
func (c *cluster) testNodeRestart(t *testing.T) {
	c.mustKubectl(t, "-n", systemNamespace, "scale", "deployment/keyward-manager", "--replicas=0")
	await(t, "the end of the managers", func(ctx context.Context) error {
		var list corev1.PodList
		err := c.objects.List(ctx, &list, client.InNamespace(systemNamespace), managerLabels)
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d are left", len(list.Items))
		}
		return err
	})
	before, err := c.pods(t.Context(), systemNamespace, validatorLabels)
	if err != nil {
		t.Fatal(err)
	}
	c.stop(t)
	c.start(t)
	await(t, "restarted containers", func(ctx context.Context) error {
		for _, pod := range before {
			var now corev1.Pod
			if err := c.objects.Get(ctx, client.ObjectKeyFromObject(&pod), &now); err != nil {
				return err
			}
			if len(now.Status.ContainerStatuses) != 1 {
				return fmt.Errorf("%s has no status", now.Name)
			}
			if status := now.Status.ContainerStatuses[0]; status.RestartCount <= pod.Status.ContainerStatuses[0].RestartCount || !status.Ready {
				return fmt.Errorf("%s is not ready again: %+v", now.Name, status)
			}
		}
		return nil
	})
	for _, l := range c.loads {
		await(t, "the load in "+l.namespace, func(ctx context.Context) error {
			report, err := l.report(ctx)
			if err == nil && report.LongestMillis == 0 {
				err = errors.New("no two allowed responses yet")
			}
			return err
		})
	}
	c.underLoad(t, "there is no manager, and the node has restarted", func() {})
	if pods, err := c.pods(t.Context(), systemNamespace, managerLabels); err != nil || len(pods) > 0 {
		t.Errorf("a manager was there: %v %v", pods, err)
	}
	c.mustKubectl(t, "-n", systemNamespace, "scale", "deployment/keyward-manager", "--replicas=2")
	c.rolledOut(t, systemNamespace, "keyward-manager")
	c.newKey(t, "after-restart")
}
