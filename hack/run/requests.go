package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// sample is a request that shows what Keyward does.
type sample struct {
	title  string
	path   string
	key    bool
	origin string

	status int
	code   string // of the problem, where it is refused
}

var samples = []sample{
	{title: "the key, from the site that it is for", path: "/api/scenes/mkt-hero", key: true,
		origin: "https://www.acme.example", status: http.StatusOK},
	{title: "no key", path: "/api/scenes/mkt-hero", status: http.StatusUnauthorized, code: "key_missing"},
	{title: "the key, from a foreign site", path: "/api/scenes/mkt-hero", key: true, origin: "https://evil.example",
		status: http.StatusForbidden, code: "origin_denied"},
	{title: "the key, for a scene of another project", path: "/api/scenes/prd-rocket", key: true,
		status: http.StatusForbidden, code: "project_denied"},
}

// curl returns the request as a command line for a shell in which KEY is the key.
func (s sample) curl() string {
	line := "curl -sS -i " + localURL(proxyPort) + s.path
	if s.key {
		line += ` -H "Authorization: Bearer $KEY"`
	}
	if s.origin != "" {
		line += ` -H "Origin: ` + s.origin + `"`
	}
	return line
}

// checkRequests sends the requests that the instructions will show.
func (r *runner) checkRequests(ctx context.Context) error {
	if r.note != "" {
		return nil
	}
	for _, sample := range samples {
		// An acknowledged key is accepted at once. It waits because a validator may still have data of an earlier run, and in
		// Pods because they may just be starting again.
		err := r.out.await(ctx, "the answer to a request", r.requestTimeout(), func(ctx context.Context) error { return r.send(ctx, sample) })
		if err != nil {
			return err
		}
	}
	r.out.line("%d sample requests are answered as they should be", len(samples))
	return nil
}

func (r *runner) requestTimeout() time.Duration {
	if r.inPods {
		return startTimeout
	}
	return 10 * time.Second
}

func (r *runner) send(ctx context.Context, sample sample) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, localURL(proxyPort)+sample.path, http.NoBody)
	if err != nil {
		return err
	}
	if sample.key {
		var secret corev1.Secret
		if err := r.objects.Get(ctx, client.ObjectKey{Namespace: sampleNamespace, Name: sampleKey}, &secret); err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+string(secret.Data[v1alpha1.SecretKeyAPIKey]))
	}
	if sample.origin != "" {
		request.Header.Set("Origin", sample.origin)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var body struct {
		Code              string `json:"code"`
		CredentialReached bool   `json:"credentialReached"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return fmt.Errorf("%s: %s with a body that is no JSON: %w", sample.path, response.Status, err)
	}
	if response.StatusCode != sample.status || body.Code != sample.code {
		return fmt.Errorf("%s (%s): %s %s instead of %d %s", sample.path, sample.title, response.Status, body.Code, sample.status, sample.code)
	}
	if body.CredentialReached {
		return fmt.Errorf("%s: the key reached the content service", sample.path)
	}
	return nil
}

// instructions returns the last lines before it waits for Ctrl-C. They can be pasted as they are.
func (p *progress) instructions(r *runner) {
	kubectl := quote(r.bin("envtest", "kubectl")) + " --kubeconfig " + quote(r.kubeconfig())
	var b strings.Builder
	b.WriteString("\nKeyward is ready\n\n")
	if r.note != "" {
		fmt.Fprintf(&b, "# %s\n\n", r.note)
	}
	fmt.Fprintf(&b, "# In another terminal, the key from its Secret:\nKEY=$(%s -n %s get secret %s -o "+
		"go-template='{{index .data %q | base64decode}}')\n\n",
		kubectl, sampleNamespace, sampleKey, v1alpha1.SecretKeyAPIKey)
	for _, sample := range samples {
		fmt.Fprintf(&b, "# %s: %s\n%s\n\n", strings.TrimSpace(fmt.Sprintf("%d %s", sample.status, sample.code)), sample.title, sample.curl())
	}
	fmt.Fprintf(&b, "# What is in force, and where:\n%s get keyward -A\n\n", kubectl)
	if r.inPods {
		fmt.Fprintf(&b, "# The Pods, and why a request was refused, by the X-Request-Id of its response:\n%s get pods -A\nPATH=%s:%s:$PATH "+
			"kubectl keyward --kubeconfig %s explain REQUEST-ID\n\n", kubectl, quote(r.bin()), quote(r.bin("envtest")), quote(r.kubeconfig()))
	}
	fmt.Fprintf(&b, "# The state of the key; docs/kubectl-keyward.md has the other verbs:\nPATH=%s:%s:$PATH kubectl "+
		"keyward --kubeconfig %s -n %s status %s\n\n",
		quote(r.bin()), quote(r.bin("envtest")), quote(r.kubeconfig()), sampleNamespace, sampleKey)
	b.WriteString(r.consoleInstructions(kubectl))
	b.WriteString("Ctrl-C ends it and keeps the data. docs/getting-started.md continues from here.\n")
	_, _ = p.out.Write([]byte(b.String()))
}

// quote makes a path a single word for a shell.
func quote(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"+string(filepath.Separator)+"._-+@") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
