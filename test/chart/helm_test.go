package chart

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/yaml"
)

// helm is Helm with a cluster, as a person uses it.
type helm struct {
	*cluster
	t *testing.T
	// webhookPort is where the webhooks are on this machine: there are no Pods that a Service could select.
	webhookPort string
}

// configuration is that of one command.
func (h *helm) configuration() *action.Configuration {
	h.t.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = new(h.kubeconfig), new(systemNamespace)
	configuration := action.NewConfiguration()
	if err := configuration.Init(flags, systemNamespace, "secret"); err != nil {
		h.t.Fatal(err)
	}
	return configuration
}

// install does helm install --create-namespace. There is no node, so that waiting for Pods would not end.
func (h *helm) install(c *chartv2.Chart, values map[string]any) {
	h.t.Helper()
	install := action.NewInstall(h.configuration())
	install.ReleaseName, install.Namespace, install.CreateNamespace = releaseName, systemNamespace, true
	install.WaitStrategy, install.Timeout, install.PostRenderer = kube.HookOnlyStrategy, patience, h
	if _, err := install.RunWithContext(h.t.Context(), c, values); err != nil {
		h.t.Fatalf("install: %v", err)
	}
}

func (h *helm) upgrade(c *chartv2.Chart, values map[string]any) {
	h.t.Helper()
	upgrade := action.NewUpgrade(h.configuration())
	upgrade.Namespace, upgrade.ServerSideApply = systemNamespace, "auto"
	upgrade.WaitStrategy, upgrade.Timeout, upgrade.PostRenderer = kube.HookOnlyStrategy, patience, h
	if _, err := upgrade.RunWithContext(h.t.Context(), releaseName, c, values); err != nil {
		h.t.Fatalf("upgrade: %v", err)
	}
}

func (h *helm) rollback(revision int) {
	h.t.Helper()
	rollback := action.NewRollback(h.configuration())
	rollback.Version, rollback.WaitStrategy, rollback.Timeout = revision, kube.HookOnlyStrategy, patience
	if err := rollback.Run(releaseName); err != nil {
		h.t.Fatalf("rollback: %v", err)
	}
}

func (h *helm) uninstall() {
	h.t.Helper()
	uninstall := action.NewUninstall(h.configuration())
	uninstall.WaitStrategy, uninstall.Timeout = kube.HookOnlyStrategy, patience
	if _, err := uninstall.Run(releaseName); err != nil {
		h.t.Fatalf("uninstall: %v", err)
	}
}

// manifest returns the objects of the current revision.
func (h *helm) manifest() objects {
	h.t.Helper()
	found, err := action.NewGet(h.configuration()).Run(releaseName)
	if err != nil {
		h.t.Fatal(err)
	}
	current, is := found.(*releasev1.Release)
	if !is {
		h.t.Fatalf("a release is a %T", found)
	}
	all := objects{}
	for _, text := range documents(current.Manifest) {
		encoded, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			h.t.Fatal(err)
		}
		if o := parse(h.t, encoded); o != nil {
			all[o.id()] = o
		}
	}
	return all
}

// Run implements postrenderer.PostRenderer: it points the API server to the webhooks on this machine, and changes nothing else.
func (h *helm) Run(manifests *bytes.Buffer) (*bytes.Buffer, error) {
	var changed bytes.Buffer
	for _, text := range documents(manifests.String()) {
		o := object{}
		if err := yaml.Unmarshal([]byte(text), (*map[string]any)(&o)); err != nil {
			return nil, err
		}
		switch {
		case len(o) == 0:
			continue
		case o.kind() == "Service" && o.name() == "keyward-webhook":
			o["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost", "ports": o.at("spec", "ports")}
			text = asYAML(h.t, o)
		case strings.HasSuffix(o.kind(), "WebhookConfiguration"):
			text = asYAML(h.t, o)
			if !strings.Contains(text, "port: 9443\n") {
				return nil, fmt.Errorf("%s has no port", o.id())
			}
			text = strings.ReplaceAll(text, "port: 9443\n", "port: "+h.webhookPort+"\n")
		}
		changed.WriteString("\n---\n" + text)
	}
	return &changed, nil
}

// withoutField returns the chart as it was before a field of a CRD was added.
func withoutField(t *testing.T, c *chartv2.Chart, template, field string) *chartv2.Chart {
	t.Helper()
	for _, file := range c.Templates {
		if file.Name != template {
			continue
		}
		lines := strings.SplitAfter(string(file.Data), "\n")
		start := slices.IndexFunc(lines, func(line string) bool { return strings.TrimSpace(line) == field+":" })
		if start < 0 {
			t.Fatalf("%s has no field %s", template, field)
		}
		indent := strings.Index(lines[start], field)
		end := start + 1
		for strings.HasPrefix(lines[end], strings.Repeat(" ", indent+1)) {
			end++
		}
		file.Data = []byte(strings.Join(slices.Delete(lines, start, end), ""))
		return c
	}
	t.Fatalf("the chart has no %s", template)
	return nil
}
