package node

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// authorityOverlap is how long the managers of this test publish an authority before it issues: more than kubelets need to write it into
// Pods.
func authorityOverlap(t *testing.T) time.Duration {
	t.Helper()
	sync, err := time.ParseDuration(kubeletSync())
	if err != nil {
		t.Fatal(err)
	}
	return 2*sync + 16*time.Second
}

// testAuthority renews the authority under load, and then has all validation servers connect again, to a manager with a certificate of the
// new one.
func (c *cluster) testAuthority(t *testing.T) {
	before := c.certificates(t)
	servers := c.validationServers(t)
	since := time.Now()
	c.underLoad(t, "the authority is renewed, until it issues the certificate", func() {
		c.mustKubectl(t, "-n", systemNamespace, "annotate", "secret", "keyward-certs", "--overwrite",
			"keyward.dev/renew-authority="+since.Format(time.RFC3339Nano))
		await(t, "a certificate of the next authority", func(context.Context) error {
			if now := c.certificates(t); now.signing == before.signing || now.serving == before.serving {
				return errors.New("it is of the earlier one")
			}
			return nil
		})
	})
	for _, pod := range servers {
		if gaps := c.disconnections(t, pod, since); len(gaps) > 0 {
			t.Errorf("the renewal disconnected %s/%s: %v", pod.Namespace, pod.Name, gaps)
		}
	}
	// Nobody had to connect. Now everybody has to, with what is mounted.
	since = time.Now()
	c.underLoad(t, "the managers are replaced then, so that all validation servers connect again", func() {
		c.restart(t, systemNamespace, "keyward-manager")
		for _, pod := range servers {
			await(t, "the connection of "+pod.Name, func(context.Context) error {
				if gaps := c.disconnections(t, pod, since); len(gaps) == 0 || gaps[len(gaps)-1].length == 0 {
					return errors.New("it is not connected again")
				}
				return nil
			})
		}
	})
	for _, pod := range servers {
		for _, gap := range c.disconnections(t, pod, since) {
			t.Logf("%s/%s was disconnected for %s: %s", pod.Namespace, pod.Name, gap.length.Round(time.Millisecond), gap.reason)
			if strings.Contains(gap.reason, "x509") {
				t.Error("it does not trust the manager")
			}
		}
	}
	c.newKey(t, "after-renewal")
}

// certificates are the first authority, which signs, and the serving certificate, as digests.
type certificates struct{ signing, serving string }

func (c *cluster) certificates(t *testing.T) certificates {
	t.Helper()
	var secret corev1.Secret
	if err := c.objects.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: "keyward-certs"}, &secret); err != nil {
		t.Fatal(err)
	}
	first := func(entry string) string {
		block, _ := pem.Decode(secret.Data[entry])
		if block == nil {
			return ""
		}
		return fmt.Sprintf("%x", sha256.Sum256(block.Bytes))
	}
	return certificates{signing: first("ca.crt"), serving: first("tls.crt")}
}

// validationServers returns the Pods that have one: as their purpose, or as a sidecar.
func (c *cluster) validationServers(t *testing.T) (servers []corev1.Pod) {
	t.Helper()
	for namespace, labels := range map[string]client.MatchingLabels{systemNamespace: validatorLabels, sidecarNamespace: sidecarLabels} {
		pods, err := c.pods(t.Context(), namespace, labels)
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, pods...)
	}
	if len(servers) != 4 {
		t.Fatalf("there are %d validation servers, want 4", len(servers))
	}
	return servers
}

// gap is a time without a manager: as long as it lasts, its length is 0.
type gap struct {
	start  time.Time
	length time.Duration
	reason string
}

// disconnections reads from the log of a validation server when it had no manager. It logs the first failure after a connection, and each
// connection.
func (c *cluster) disconnections(t *testing.T, pod corev1.Pod, since time.Time) (gaps []gap) {
	t.Helper()
	options := &corev1.PodLogOptions{Container: "validator", SinceTime: &metav1.Time{Time: since}}
	if len(pod.Spec.InitContainers) > 0 {
		options.Container = "keyward"
	}
	text, err := c.core.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var line struct {
			Time       time.Time
			Msg, Error string
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		if line.Time.Before(since) { // Kubernetes looks at whole seconds
			continue
		}
		last := len(gaps) - 1
		switch {
		case line.Msg == "connected to the manager" && last >= 0:
			gaps[last].length = line.Time.Sub(gaps[last].start)
		case strings.HasPrefix(line.Msg, "no stream to the manager") && (last < 0 || gaps[last].length > 0):
			gaps = append(gaps, gap{start: line.Time, reason: line.Error})
		}
	}
	return gaps
}
