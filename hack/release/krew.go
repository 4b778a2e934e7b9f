package main

import (
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// The manifest of krew, kubectl's plugin manager.
type krewPlugin struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   krewMetadata `json:"metadata"`
	Spec       krewSpec     `json:"spec"`
}

type krewMetadata struct {
	Name string `json:"name"`
}

type krewSpec struct {
	Version          string         `json:"version"`
	Homepage         string         `json:"homepage"`
	ShortDescription string         `json:"shortDescription"`
	Description      string         `json:"description"`
	Platforms        []krewPlatform `json:"platforms"`
}

type krewPlatform struct {
	Selector krewSelector `json:"selector"`
	URI      string       `json:"uri"`
	SHA256   string       `json:"sha256"`
	Bin      string       `json:"bin"`
}

type krewSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

// plugin is the name of the program that krew installs.
const plugin = "kubectl-keyward"

func (r *release) writeKrew(archives []archived, downloads string) error {
	manifest := krewPlugin{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin",
		Metadata: krewMetadata{Name: strings.TrimPrefix(plugin, "kubectl-")},
		Spec: krewSpec{
			Version: r.version, Homepage: source, ShortDescription: "Manage the API keys of Keyward",
			Description: "Shows API keys that are declared in Kubernetes, and their use. Rotates, reveals, suspends and\n" +
				"revokes them, and explains why a request with one was refused.\n",
		},
	}
	for _, a := range archives {
		if a.program.name == plugin {
			manifest.Spec.Platforms = append(manifest.Spec.Platforms, krewPlatform{
				Selector: krewSelector{MatchLabels: map[string]string{"os": a.platform.os, "arch": a.platform.arch}},
				URI:      strings.TrimSuffix(downloads, "/") + "/" + r.version + "/" + a.name,
				SHA256:   a.sum, Bin: a.binary,
			})
		}
	}
	text, err := yaml.Marshal(manifest)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(r.dist, "krew"), 0o755); err != nil {
		return err
	}
	// krew expects the name of the plugin as that of the file.
	return os.WriteFile(filepath.Join(r.dist, "krew", manifest.Metadata.Name+".yaml"), text, 0o644) //nolint:gosec // for everybody
}
