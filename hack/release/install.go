package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// writeInstall writes all of config/default with the images of this release into one file.
func (r *release) writeInstall(list *imageList) (err error) {
	// kustomize reads its files from directories, and refuses absolute paths.
	dir := filepath.Join(r.dist, "bin", "install")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	base, err := filepath.Rel(dir, filepath.Join(r.root, "config", "default"))
	if err != nil {
		return err
	}
	overlay := types.Kustomization{
		TypeMeta:    types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Resources:   []string{filepath.ToSlash(base)},
		SortOptions: &types.SortOptions{Order: types.LegacySortOrder}, // the namespace first, webhooks last
		Labels:      []types.Label{{Pairs: map[string]string{"app.kubernetes.io/version": r.version}, IncludeTemplates: true}},
	}
	for _, image := range list.Images {
		overlay.Images = append(overlay.Images, image.replacement())
	}
	overlay.Replacements = []types.ReplacementField{sidecarImage()}
	text, err := yaml.Marshal(overlay)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), text, 0o600); err != nil {
		return err
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified // as the file says
	objects, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return err
	}
	if text, err = objects.AsYaml(); err != nil {
		return err
	}
	header := fmt.Sprintf("# Keyward %s: kubectl apply --server-side -f install.yaml\n", r.version)
	return os.WriteFile(filepath.Join(r.dist, "install.yaml"), append([]byte(header), text...), 0o644) //nolint:gosec // for everybody
}

// sidecarImage gives the manager the image of sidecars: that of the validation server. It is a variable of the environment, which kustomize
// does not know as an image.
func sidecarImage() types.ReplacementField {
	deployment := func(name string) resid.ResId { return resid.ResId{Gvk: resid.Gvk{Kind: "Deployment"}, Name: name} }
	return types.ReplacementField{Replacement: types.Replacement{
		Source: &types.SourceSelector{
			ResId: deployment("keyward-validator"), FieldPath: "spec.template.spec.containers.[name=validator].image",
		},
		Targets: []*types.TargetSelector{{
			Select:     &types.Selector{ResId: deployment("keyward-manager")},
			FieldPaths: []string{"spec.template.spec.containers.[name=manager].env.[name=KEYWARD_SIDECAR_IMAGE].value"},
		}},
	}}
}

// reference returns the name of an image: where it was pushed to, or as the archives have it.
func (i imageRecord) reference() string {
	return cmp.Or(i.Pushed, i.Name+":"+i.Tag)
}

// replacement replaces the image in Deployments. Its digest is named only after a push: an image that was loaded from an archive is
// known by its tag.
func (i imageRecord) replacement() types.Image {
	name, digest, _ := strings.Cut(i.Pushed, "@")
	return types.Image{Name: i.Name, NewName: strings.TrimSuffix(name, ":"+i.Tag), NewTag: i.Tag, Digest: digest}
}
