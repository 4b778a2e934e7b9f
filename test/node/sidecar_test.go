package node

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// testSidecarJob runs a Job whose Pod has a validation server as a native sidecar: the Job completes although the sidecar would
// run forever.
func (c *cluster) testSidecarJob(t *testing.T) {
	var secret corev1.Secret
	if err := c.objects.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: "keyward-certs"}, &secret); err != nil {
		t.Fatal(err)
	}
	ca := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "job-ca"},
		Data: map[string]string{"ca.crt": string(secret.Data["ca.crt"])}}
	if err := c.objects.Create(t.Context(), ca); err != nil {
		t.Fatal(err)
	}
	c.apply(t, sidecarJobYAML)
	c.completes(t, tenantNamespace, "report")
}

// testInjectedJob is the same with the sidecar that the label adds, in front of the Job's own container.
func (c *cluster) testInjectedJob(t *testing.T) {
	c.apply(t, injectedJobYAML)
	c.completes(t, sidecarNamespace, "bake")
}

// completes waits for a Job that has a sidecar, and expects that both ended well.
func (c *cluster) completes(t *testing.T, namespace, job string) {
	t.Helper()
	c.mustKubectl(t, "-n", namespace, "wait", "job/"+job, "--for=condition=Complete", "--timeout", patience.String())
	var pods corev1.PodList
	err := c.objects.List(t.Context(), &pods, client.InNamespace(namespace), client.MatchingLabels{"job-name": job})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 || pods.Items[0].Status.Phase != corev1.PodSucceeded {
		t.Fatalf("the Job took %d Pods: %+v", len(pods.Items), pods.Items)
	}
	sidecars := pods.Items[0].Status.InitContainerStatuses
	if len(sidecars) != 1 {
		t.Errorf("there are %d sidecars", len(sidecars))
	}
	for _, status := range sidecars {
		if ended := status.State.Terminated; ended == nil || ended.ExitCode != 0 {
			t.Errorf("the sidecar did not end well: %+v", status.State)
		}
	}
}

const injectedJobYAML = `
apiVersion: batch/v1
kind: Job
metadata: {name: bake, namespace: ` + sidecarNamespace + `}
spec:
  backoffLimit: 0
  template:
    metadata:
      labels: {keyward.dev/inject: validator}
      annotations: {keyward.dev/group: bakery}
    spec:
      restartPolicy: Never
      serviceAccountName: content
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: bake
          image: ` + appImage + `
          imagePullPolicy: Never
          args: [both, "http://127.0.0.1:28080/", /var/run/keyward-key/api-key]
          ports: [{name: http, containerPort: 8080}]
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: key, mountPath: /var/run/keyward-key, readOnly: true}]
      volumes: [{name: key, secret: {secretName: ` + sidecarKey + `}}]
`

const sidecarJobYAML = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: report, namespace: acme}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: keyward-validator-acme, namespace: acme}
rules:
  - {apiGroups: [keyward.dev], resources: [groups], resourceNames: [acme], verbs: [validate]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: keyward-validator-acme, namespace: acme}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: keyward-validator-acme}
subjects: [{kind: ServiceAccount, name: report, namespace: acme}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: report, namespace: acme}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {keyward.dev/role: validator}}
    spec:
      restartPolicy: Never
      serviceAccountName: report
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      initContainers:
        - name: keyward
          image: keyward/validator:latest
          imagePullPolicy: Never
          restartPolicy: Always
          args:
            - --group=acme/acme
            - --upstream=http://content.content.svc:8080
            - --http-bind-address=127.0.0.1:8081
            - --grpc-bind-address=127.0.0.1:8082
            - --snapshot-dir=/var/lib/keyward
            - --shutdown-delay=0s
          startupProbe: {httpGet: {path: /readyz, port: 8083}, periodSeconds: 1, failureThreshold: 60}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          volumeMounts:
            - {name: ca, mountPath: /var/run/keyward/ca, readOnly: true}
            - {name: token, mountPath: /var/run/secrets/keyward, readOnly: true}
            - {name: snapshot, mountPath: /var/lib/keyward}
      containers:
        - name: report
          image: ` + appImage + `
          imagePullPolicy: Never
          args: [job, "http://127.0.0.1:8080/api/scenes/mkt-hero", /var/run/acme/api-key]
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: key, mountPath: /var/run/acme, readOnly: true}]
      volumes:
        - {name: key, secret: {secretName: acme-web}}
        - {name: ca, configMap: {name: job-ca}}
        - {name: token, projected: {sources: [{serviceAccountToken: {audience: keyward.dev/sync, expirationSeconds: 3600, path: token}}]}}
        - {name: snapshot, emptyDir: {}}
`
