package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	sampleKey = "acme-web"
	loadPod   = "load"
	loadPort  = "8090"
	scene     = "http://keyward-validator.keyward-system.svc.cluster.local:8080/api/scenes/mkt-hero"
)

// install installs Keyward, the sample content and the sample tenant, and starts the load.
func (c *cluster) install(t *testing.T) {
	t.Helper()
	begin := time.Now()
	c.load(t)
	t.Logf("the images are loaded after %s", time.Since(begin).Round(100*time.Millisecond))
	c.mustKubectl(t, "apply", "--server-side", "-k", filepath.Join(root, "config/node"))
	c.mustKubectl(t, "-n", systemNamespace, "create", "secret", "generic", "keyward-validator-admin",
		"--from-literal=token=only-for-tests-on-a-node")
	await(t, "the webhooks", func(ctx context.Context) error {
		_, err := c.kubectl(ctx, "apply", "--server-side", "-k", filepath.Join(root, "config/samples"))
		if err != nil && !strings.Contains(err.Error(), "failed calling webhook") {
			t.Fatal(err) // waiting does not help
		}
		return err
	})
	c.mustKubectl(t, "label", "namespace", tenantNamespace, "pod-security.kubernetes.io/enforce=restricted")
	for _, rollout := range [][2]string{
		{systemNamespace, "keyward-manager"}, {systemNamespace, "keyward-validator"}, {contentNamespace, "content"},
	} {
		c.rolledOut(t, rollout[0], rollout[1])
	}
	await(t, "the sample key", c.keyIsEnforced)
	c.apply(t, loadYAML)
	await(t, "the load", func(ctx context.Context) error {
		report, err := c.report(ctx)
		if err == nil && report.Requests == 0 {
			err = errors.New("no request yet")
		}
		return err
	})
	t.Logf("requests are answered after %s", time.Since(begin).Round(100*time.Millisecond))
}

// loadYAML is a tenant's app: it mounts the Secret of its key.
const loadYAML = `
apiVersion: v1
kind: Pod
metadata: {name: ` + loadPod + `, namespace: ` + tenantNamespace + `}
spec:
  automountServiceAccountToken: false
  dnsConfig: {options: [{name: ndots, value: "1"}]} # the name is complete: one look-up for each connection
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: load
      image: ` + appImage + `
      imagePullPolicy: Never
      args: [load, "` + scene + `", /var/run/acme/api-key]
      ports: [{containerPort: ` + loadPort + `}]
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: key, mountPath: /var/run/acme, readOnly: true}]
  volumes: [{name: key, secret: {secretName: ` + sampleKey + `}}]
`

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

func (c *cluster) keyIsEnforced(ctx context.Context) error {
	var key v1alpha1.ApiKey
	if err := c.objects.Get(ctx, client.ObjectKey{Namespace: tenantNamespace, Name: sampleKey}, &key); err != nil {
		return err
	}
	for _, condition := range key.Status.Conditions {
		if condition.Type == v1alpha1.ConditionEnforced && condition.Status == metav1.ConditionTrue &&
			condition.ObservedGeneration == key.Generation {
			return nil
		}
	}
	return fmt.Errorf("it is not enforced: %+v", key.Status.Conditions)
}

// loadReport is what the load reports; see app/load.go.
type loadReport struct {
	Requests      int
	Losses        int
	Examples      []string
	Keys          int
	Key           string
	LongestMillis int64
}

func (c *cluster) report(ctx context.Context) (loadReport, error) {
	var report loadReport
	data, err := c.core.CoreV1().RESTClient().Get().Namespace(tenantNamespace).Resource("pods").Name(loadPod + ":" + loadPort).
		SubResource("proxy").Suffix("report").DoRaw(ctx)
	if err != nil {
		return report, err
	}
	return report, json.Unmarshal(data, &report)
}

func (c *cluster) begin(ctx context.Context) error {
	return c.core.CoreV1().RESTClient().Post().Namespace(tenantNamespace).Resource("pods").Name(loadPod + ":" + loadPort).
		SubResource("proxy").Suffix("begin").Do(ctx).Error()
}

// underLoad does something while requests are sent, and expects that none is lost, then and in the next requests.
func (c *cluster) underLoad(t *testing.T, do func()) {
	t.Helper()
	if err := c.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	do()
	took := time.Since(started)
	atEnd, err := c.report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const after = 200
	var report loadReport
	await(t, "further requests", func(ctx context.Context) error {
		if report, err = c.report(ctx); err == nil && report.Requests < atEnd.Requests+after {
			err = fmt.Errorf("%d of %d", report.Requests-atEnd.Requests, after)
		}
		return err
	})
	t.Logf("%d requests in and after %s, %d lost, at most %d ms between two responses", report.Requests,
		took.Round(100*time.Millisecond), report.Losses, report.LongestMillis)
	if report.Losses > 0 {
		t.Errorf("lost:\n%s", strings.Join(report.Examples, "\n"))
	}
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
