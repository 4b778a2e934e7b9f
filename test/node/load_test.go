package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

const (
	loadPod  = "load"
	loadPort = "8090"
)

// load is a Pod of a tenant that sends requests all the time.
type load struct {
	c         *cluster
	namespace string
	url       string
	secret    string // of the key
}

// loadReport is what a load reports; see app/load.go.
type loadReport struct {
	Requests      int
	Losses        int
	Examples      []string
	Keys          int
	Key           string
	LongestMillis int64
}

// start starts the Pod and waits for its first request.
func (l load) start(t *testing.T) {
	t.Helper()
	l.c.apply(t, l.yaml())
	await(t, "the load in "+l.namespace, func(ctx context.Context) error {
		report, err := l.report(ctx)
		if err == nil && report.Requests == 0 {
			err = errors.New("no request yet")
		}
		return err
	})
}

// yaml is a tenant's app: it mounts the Secret of its key.
func (l load) yaml() string {
	return `
apiVersion: v1
kind: Pod
metadata: {name: ` + loadPod + `, namespace: ` + l.namespace + `}
spec:
  automountServiceAccountToken: false
  dnsConfig: {options: [{name: ndots, value: "1"}]} # the name is complete: one look-up for each connection
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: load
      image: ` + appImage + `
      imagePullPolicy: Never
      args: [load, "` + l.url + `", /var/run/keyward-key/api-key]
      ports: [{containerPort: ` + loadPort + `}]
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: key, mountPath: /var/run/keyward-key, readOnly: true}]
  volumes: [{name: key, secret: {secretName: ` + l.secret + `}}]
`
}

// proxied is a request to the Pod by way of the API server.
func (l load) proxied(request *rest.Request, path string) *rest.Request {
	return request.Namespace(l.namespace).Resource("pods").Name(loadPod + ":" + loadPort).SubResource("proxy").Suffix(path)
}

func (l load) report(ctx context.Context) (loadReport, error) {
	var report loadReport
	data, err := l.proxied(l.c.core.CoreV1().RESTClient().Get(), "report").DoRaw(ctx)
	if err != nil {
		return report, err
	}
	return report, json.Unmarshal(data, &report)
}

func (l load) begin(ctx context.Context) error {
	return l.proxied(l.c.core.CoreV1().RESTClient().Post(), "begin").Do(ctx).Error()
}

// further waits for requests after those of the report, and returns all.
func (l load) further(t *testing.T, before loadReport) (report loadReport) {
	t.Helper()
	const further = 200
	await(t, "further requests in "+l.namespace, func(ctx context.Context) (err error) {
		if report, err = l.report(ctx); err == nil && report.Requests < before.Requests+further {
			err = fmt.Errorf("%d of %d", report.Requests-before.Requests, further)
		}
		return err
	})
	return report
}

// underLoad does something while all loads send requests, and expects that none is lost, then and in the next requests. What came of it
// becomes a row of the table.
func (c *cluster) underLoad(t *testing.T, what string, do func()) {
	t.Helper()
	for _, l := range c.loads {
		if err := l.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	started := time.Now()
	do()
	measured := row{what: what, took: time.Since(started)}
	for _, l := range c.loads {
		atEnd, err := l.report(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		report := l.further(t, atEnd)
		t.Logf("%s: %d requests in and after %s, %d lost, at most %d ms between two responses", l.namespace, report.Requests,
			measured.took.Round(100*time.Millisecond), report.Losses, report.LongestMillis)
		if report.Losses > 0 {
			t.Errorf("lost in %s:\n%s", l.namespace, strings.Join(report.Examples, "\n"))
		}
		measured.requests = append(measured.requests, report.Requests)
		measured.lost += report.Losses
		measured.longest = max(measured.longest, time.Duration(report.LongestMillis)*time.Millisecond)
	}
	c.rows = append(c.rows, measured)
}
