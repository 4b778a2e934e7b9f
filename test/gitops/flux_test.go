package gitops

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/clusterreader"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	fluxManager = "kustomize-controller"
	fluxGroup   = "kustomize.toolkit.fluxcd.io"
)

// flux is Flux's engine: the libraries that kustomize-controller consists of, put together in its way.
type flux struct {
	*cluster
	engine *ssa.ResourceManager
}

// flux returns the engine for a Kustomization, with its own health checks.
func (c *cluster) flux(t *testing.T, of kustomizev1.Kustomization) *flux {
	t.Helper()
	options := polling.Options{}
	if len(of.Spec.HealthCheckExprs) > 0 {
		reader, err := cel.NewStatusReader(of.Spec.HealthCheckExprs)
		if err != nil {
			t.Fatal(err)
		}
		options.CustomStatusReaders = []engine.StatusReader{reader(c.admin.RESTMapper())}
	}
	options.ClusterReaderFactory = engine.ClusterReaderFactoryFunc(clusterreader.NewDirectClusterReader)
	poller := polling.NewStatusPoller(c.admin, c.admin.RESTMapper(), options)
	return &flux{cluster: c, engine: ssa.NewResourceManager(c.admin, poller, ssa.Owner{Field: fluxManager, Group: fluxGroup})}
}

// build builds a directory of a repository and substitutes variables, as for spec.path and spec.postBuild.
func (f *flux) build(t *testing.T, dir string, of kustomizev1.Kustomization) []*unstructured.Unstructured {
	t.Helper()
	// The controller works on a copy of the repository, too: the generator writes into it.
	work := t.TempDir()
	if err := os.CopyFS(work, os.DirFS(filepath.Join(root, "config"))); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(work, strings.TrimPrefix(dir, "config/"))
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&of)
	if err != nil {
		t.Fatal(err)
	}
	kustomization := unstructured.Unstructured{Object: content}
	if _, err := kustomize.NewGenerator(work, kustomization).WriteFile(dir); err != nil {
		t.Fatal(err)
	}
	built, err := kustomize.SecureBuild(work, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if of.Spec.PostBuild != nil {
		for _, resource := range built.Resources() {
			substituted, err := kustomize.SubstituteVariables(t.Context(), f.admin, kustomization, resource, kustomize.SubstituteWithStrict(true))
			if err != nil {
				t.Fatal(err)
			}
			if substituted != nil {
				if _, err := built.Replace(resource); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

// options are those of kustomize-controller.
func (f *flux) options() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{
		fluxGroup + "/reconcile": kustomizev1.DisabledValue, fluxGroup + "/ssa": kustomizev1.IgnoreValue,
	}
	options.IfNotPresentSelector = map[string]string{fluxGroup + "/ssa": kustomizev1.IfNotPresentValue}
	options.ForceSelector = map[string]string{fluxGroup + "/force": kustomizev1.EnabledValue}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: fluxManager, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{fluxGroup + "/ssa": kustomizev1.MergeValue},
	}
	return options
}

// reconcile applies the objects, and returns those that were not as declared before.
func (f *flux) reconcile(ctx context.Context, objects []*unstructured.Unstructured) (changed []string, err error) {
	desired := make([]*unstructured.Unstructured, len(objects))
	for i, u := range objects {
		desired[i] = u.DeepCopy()
	}
	if err := normalize.UnstructuredList(desired); err != nil {
		return nil, err
	}
	changes, err := f.engine.ApplyAllStaged(ctx, desired, f.options())
	if changes != nil {
		for _, entry := range changes.Entries {
			if entry.Action != ssa.UnchangedAction && entry.Action != ssa.SkippedAction {
				changed = append(changed, entry.Subject+" "+entry.Action.String())
			}
		}
	}
	return changed, err
}

// reconciles is the condition that the objects can be applied; a webhook that cannot be reached is not what is tested.
func (f *flux) reconciles(t *testing.T, objects []*unstructured.Unstructured) []string {
	t.Helper()
	changed, err := f.reconcile(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// drift returns what Flux would change, object by object.
func (f *flux) drift(t *testing.T, objects []*unstructured.Unstructured) []string {
	t.Helper()
	var drifted []string
	for _, u := range objects {
		entry, live, merged, err := f.engine.Diff(t.Context(), u.DeepCopy(), ssa.DefaultDiffOptions())
		switch {
		case err != nil:
			t.Errorf("diff of %s: %v", u.GetName(), err)
		case entry.Action != ssa.UnchangedAction:
			drifted = append(drifted, fmt.Sprintf("%s: %s: %s", entry.Subject, entry.Action, difference(live, merged)))
		}
	}
	return drifted
}

// heals waits for the health of the objects once, as spec.wait does, and so fails if one has failed.
func (f *flux) heals(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	if err := f.engine.Wait(objects, ssa.WaitOptions{Interval: 100 * time.Millisecond, Timeout: patience, FailFast: true}); err != nil {
		t.Error(err)
	}
}

// prune deletes the objects, as when they are removed from Git, and waits until they are gone.
func (f *flux) prune(t *testing.T, objects []*unstructured.Unstructured) error {
	t.Helper()
	options := ssa.DefaultDeleteOptions()
	options.PropagationPolicy = metav1.DeletePropagationBackground
	reversed := slices.Clone(objects)
	slices.Reverse(reversed)
	_, err := f.engine.DeleteAll(t.Context(), reversed, options)
	return errors.Join(err, f.engine.WaitForTermination(reversed, ssa.WaitOptions{Interval: 100 * time.Millisecond, Timeout: patience}))
}

// difference names the fields in which two objects differ.
func difference(a, b *unstructured.Unstructured) string {
	if a == nil || b == nil {
		return "one of the two is missing"
	}
	var found []string
	differences("", a.Object, b.Object, &found)
	return strings.Join(found, ", ")
}

func differences(path string, a, b any, found *[]string) {
	left, isMap := a.(map[string]any)
	right, both := b.(map[string]any)
	if !isMap || !both {
		if fmt.Sprint(a) != fmt.Sprint(b) {
			*found = append(*found, fmt.Sprintf("%s: %v to %v", path, a, b))
		}
		return
	}
	names := maps.Clone(left)
	maps.Copy(names, right)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if path+"."+name != ".metadata.managedFields" {
			differences(path+"."+name, left[name], right[name], found)
		}
	}
}
