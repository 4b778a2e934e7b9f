package chart

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	keywardAPI = "keyward.dev/v1alpha1"
	tenants    = "tenants"
	groupsCRD  = "templates/crds/keyward.dev_groups.yaml"
	newField   = "displayName"
)

// TestLifecycle: installation of the previous chart, upgrade to this one, upgrade that adds a field of a CRD, rollbacks,
// uninstallation, and installation again. Keys that the manager has minted with the rights and the configuration of the chart
// survive all of it.
func TestLifecycle(t *testing.T) {
	c := needCluster(t)
	c.ensureNamespace(t, tenants)
	h := &helm{cluster: c, t: t}
	m := newManager(t, h)

	h.install(previousChart(t), nil)
	h.upgrade(withoutField(t, load(t), groupsCRD, newField), nil)
	m.start() // not before, because the previous chart has the rights of the previous manager
	c.create(t, object{"apiVersion": keywardAPI, "kind": "Group", "metadata": map[string]any{"name": "acme"}, "spec": map[string]any{
		"tier": "Pro",
	}})
	first := c.mint(t, "first")
	c.expectField(t, false)

	h.upgrade(load(t), nil)
	c.expectField(t, true)
	c.expectCA(t) // the manager has written it, and Helm must not remove it
	second := c.mint(t, "second")
	m.restart() // a new version has new Pods
	third := c.mint(t, "third")

	h.rollback(2)
	c.expectField(t, false)
	m.restart()
	c.expectKeys(t, map[string]string{"first": first, "second": second, "third": third})
	fourth := c.mint(t, "fourth")

	h.rollback(1)
	h.upgrade(load(t), map[string]any{"crds": map[string]any{"install": false}})
	c.expectKeys(t, map[string]string{"first": first, "fourth": fourth})

	h.upgrade(load(t), nil)
	c.expectField(t, true)
	installed := h.manifest()
	certificates := func() any {
		secret, err := c.get(t.Context(), "v1", "Secret", systemNamespace, "keyward-certs")
		if err != nil {
			t.Fatal(err)
		}
		return secret.at("data")
	}
	before := certificates()
	h.uninstall()
	m.stop()
	for _, o := range installed {
		_, err := c.get(t.Context(), o.text("apiVersion"), o.kind(), o.namespace(), o.name())
		kept := o.kind() == "CustomResourceDefinition" || o.name() == "keyward-certs"
		switch {
		case kept && err != nil:
			t.Errorf("%s: %v", o.id(), err)
		case !kept && !apierrors.IsNotFound(err):
			t.Errorf("%s is left behind: %v", o.id(), err)
		}
	}
	all := map[string]string{"first": first, "second": second, "third": third, "fourth": fourth}
	c.expectKeys(t, all)

	h.install(load(t), nil)
	if diff := cmp.Diff(before, certificates()); diff != "" {
		t.Error("another authority would have to reach sidecars first")
	}
	m.start()
	c.mint(t, "fifth")
	c.expectKeys(t, all)
}

// previousChart is the chart before the last commit that changed it, or this one where git does not know.
func previousChart(t *testing.T) *chartv2.Chart {
	t.Helper()
	git := func(arguments ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "git", arguments...)
		cmd.Dir = root
		return cmd.Output()
	}
	commits, err := git("log", "-n", "2", "--format=%H", "--", "charts/keyward")
	if fields := strings.Fields(string(commits)); err == nil && len(fields) == 2 {
		if archive, err := git("archive", fields[1], "charts/keyward"); err == nil {
			t.Logf("the previous chart is that of %s", fields[1])
			return unpack(t, archive)
		}
	}
	t.Log("git has no previous chart: it is this one, without the new field")
	return load(t)
}

func unpack(t *testing.T, archive []byte) *chartv2.Chart {
	t.Helper()
	dir := t.TempDir()
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name)) // git archive writes no other names
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := loader.Load(filepath.Join(dir, "charts/keyward"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// create creates an object in the namespace of tenants, once the API server can reach the webhooks.
func (c *cluster) create(t *testing.T, o object) {
	t.Helper()
	o.fields("metadata")["namespace"] = tenants
	eventually(t, "create "+o.id(), func(ctx context.Context) error { return c.apply(ctx, o) })
}

// mint creates an ApiKey and returns the text in its Secret.
func (c *cluster) mint(t *testing.T, name string) string {
	t.Helper()
	c.create(t, object{"apiVersion": keywardAPI, "kind": "ApiKey", "metadata": map[string]any{"name": name}, "spec": map[string]any{
		"groupRef": map[string]any{"name": "acme"}, "projects": []any{"default"}, "expiresAfter": "1d",
	}})
	var text string
	eventually(t, "a key for "+name, func(ctx context.Context) (err error) {
		text, err = c.keyText(ctx, name)
		return err
	})
	return text
}

func (c *cluster) keyText(ctx context.Context, name string) (string, error) {
	secret, err := c.get(ctx, "v1", "Secret", tenants, name)
	if err != nil {
		return "", err
	}
	text := secret.text("data", "api-key")
	if text == "" {
		return "", fmt.Errorf("Secret %s has no key", name)
	}
	return text, nil
}

// expectKeys checks that the ApiKeys exist and that their keys are the same.
func (c *cluster) expectKeys(t *testing.T, texts map[string]string) {
	t.Helper()
	for name, want := range texts {
		key, err := c.get(t.Context(), keywardAPI, "ApiKey", tenants, name)
		if err != nil {
			t.Errorf("ApiKey %s: %v", name, err)
			continue
		}
		if key.at("metadata", "deletionTimestamp") != nil {
			t.Errorf("ApiKey %s is being deleted", name)
		}
		if text, err := c.keyText(t.Context(), name); err != nil || text != want {
			t.Errorf("the key of %s has changed (%v)", name, err)
		}
	}
}

// expectField waits until the API server accepts the new field of Groups, or refuses it.
func (c *cluster) expectField(t *testing.T, known bool) {
	t.Helper()
	group := object{"apiVersion": keywardAPI, "kind": "Group", "metadata": map[string]any{"name": "acme", "namespace": tenants}}
	eventually(t, fmt.Sprintf("spec.%s to be known: %t", newField, known), func(ctx context.Context) error {
		groups, err := c.resource(group)
		if err != nil {
			return err
		}
		_, err = groups.Patch(ctx, "acme", types.MergePatchType, fmt.Appendf(nil, `{"spec": {%q: "Acme Inc"}}`, newField),
			metav1.PatchOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll}})
		refused := err != nil && strings.Contains(err.Error(), "unknown field")
		switch {
		case err != nil && !refused:
			return err
		case refused == known:
			return fmt.Errorf("it is known: %t", !refused)
		}
		return nil
	})
}

// expectCA checks that every webhook has the authority of the manager.
func (c *cluster) expectCA(t *testing.T) {
	t.Helper()
	for kind, name := range map[string]string{
		"MutatingWebhookConfiguration": "keyward-mutating", "ValidatingWebhookConfiguration": "keyward-validating",
	} {
		configuration, err := c.get(t.Context(), "admissionregistration.k8s.io/v1", kind, "", name)
		if err != nil {
			t.Fatal(err)
		}
		webhooks, _ := configuration.at("webhooks").([]any)
		for _, w := range webhooks {
			webhook, _ := w.(map[string]any)
			if object(webhook).text("clientConfig", "caBundle") == "" {
				t.Errorf("%s has lost its authority", object(webhook).text("name"))
			}
		}
	}
}
