package gitops

import (
	"context"
	"errors"
	"fmt"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// tool is something that makes a namespace be as manifests say.
type tool struct {
	name string
	// how says what of it runs in the tests.
	how string
	// apply applies manifests, which contain all that there was before, or lack what is to be deleted.
	apply func(p *place, manifests string) error
	// remove deletes what a manifest has, as when it is removed from Git.
	remove func(p *place, rest, manifest string) error
}

// tools are the columns of the table.
var tools = []tool{
	{
		name: "Argo CD", how: "kubectl apply with its field manager: three-way patches, as its engine does them with the same library",
		apply: func(p *place, manifests string) error {
			return p.input(manifests, "kubectl", "apply", "--field-manager=argocd-controller", "-f", "-")
		},
		remove: func(p *place, _, manifest string) error {
			return p.input(manifest, "kubectl", "delete", "--cascade=foreground", "--wait=false", "-f", "-")
		},
	},
	{
		name: "Argo CD, ServerSideApply=true", how: "kubectl apply --server-side with its field manager, by force",
		apply: func(p *place, manifests string) error {
			return p.input(manifests, "kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", "-")
		},
		remove: func(p *place, _, manifest string) error {
			return p.input(manifest, "kubectl", "delete", "--cascade=foreground", "--wait=false", "-f", "-")
		},
	},
	{
		name: "Flux", how: "its own engine, with the options of kustomize-controller",
		apply: func(p *place, manifests string) error {
			_, err := p.flux(p.t, kustomizev1.Kustomization{}).reconcile(p.t.Context(), parse(p.t, manifests))
			return err
		},
		remove: func(p *place, _, manifest string) error {
			return p.flux(p.t, kustomizev1.Kustomization{}).prune(p.t, parse(p.t, manifest))
		},
	},
	{
		name: "kubectl apply", how: "itself",
		apply: func(p *place, manifests string) error { return p.input(manifests, "kubectl", "apply", "-f", "-") },
		remove: func(p *place, _, manifest string) error {
			return p.input(manifest, "kubectl", "delete", "--wait=false", "-f", "-")
		},
	},
	{
		name: "Helm", how: "Helm 4 as a library: helm upgrade --install",
		apply:  func(p *place, manifests string) error { return p.helm(manifests) },
		remove: func(p *place, rest, _ string) error { return p.helm(rest) },
	},
}

// input runs a command with manifests on its standard input.
func (p *place) input(manifests string, command ...string) error {
	_, err := p.command(p.t.Context(), root, manifests, command...)
	return err
}

// helm installs or upgrades a chart with the manifests.
func (p *place) helm(manifests string) error {
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &p.kubeconfig, &p.namespace
	configuration := action.NewConfiguration()
	if err := configuration.Init(flags, p.namespace, "secret"); err != nil {
		return err
	}
	release := &chart.Chart{
		Metadata:  &chart.Metadata{APIVersion: chart.APIVersionV2, Name: "tenant", Version: "0.1.0"},
		Templates: []*common.File{{Name: "templates/objects.yaml", Data: []byte(manifests)}},
	}
	upgrade := action.NewUpgrade(configuration)
	upgrade.Namespace, upgrade.ServerSideApply, upgrade.WaitStrategy, upgrade.Timeout = p.namespace, "auto", kube.HookOnlyStrategy, patience
	_, err := upgrade.RunWithContext(p.t.Context(), "tenant", release, nil)
	if !errors.Is(err, driver.ErrNoDeployedReleases) && !errors.Is(err, driver.ErrReleaseNotFound) {
		return err
	}
	install := action.NewInstall(configuration)
	install.ReleaseName, install.Namespace, install.WaitStrategy, install.Timeout = "tenant", p.namespace, kube.HookOnlyStrategy, patience
	_, err = install.RunWithContext(p.t.Context(), release, nil)
	return err
}

// place is a namespace in which a situation is tried with a tool.
type place struct {
	*cluster
	t         *testing.T
	tool      *tool
	namespace string
}

// declares applies manifests; what the tool says to them is not what is tried.
func (p *place) declares(manifests string) {
	p.t.Helper()
	if err := p.tool.apply(p, manifests); err != nil {
		p.t.Fatalf("%s: %v", p.tool.name, err)
	}
}

// objects are the Group shop and the ApiKey key.
func (p *place) objects(spec string) string {
	return fmt.Sprintf(shop, p.namespace) + "---" + fmt.Sprintf(keyOf, p.namespace, "key", "shop", spec)
}

// keyward runs kubectl keyward.
func (p *place) keyward(args ...string) {
	p.t.Helper()
	p.kubectl(p.t, append([]string{"keyward", "-n", p.namespace}, args...)...)
}

// seen waits until the manager has seen the key, and returns it.
func (p *place) seen() *keyNow {
	p.t.Helper()
	var found *keyNow
	eventually(p.t, "the manager", func(ctx context.Context) error {
		key, err := p.key(ctx, p.namespace, "key")
		if err != nil {
			return err
		}
		if key.Status.ObservedGeneration != key.Generation || isTrue(key, "Reconciling") {
			return errors.New("it has not seen the latest change")
		}
		found = &keyNow{key}
		return nil
	})
	return found
}
