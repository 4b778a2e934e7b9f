package view

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// KeyYAML is an ApiKey as it is applied, to be committed to Git.
func KeyYAML(key *v1alpha1.ApiKey) (string, error) { return manifest("ApiKey", key, key.Spec) }

// AllowlistYAML is a DomainAllowlist as it is applied, to be committed to Git.
func AllowlistYAML(list *v1alpha1.DomainAllowlist) (string, error) {
	return manifest("DomainAllowlist", list, list.Spec)
}

// manifest has the name and the spec of an object, and nothing that the API server or a tool has added.
func manifest(kind string, object metav1.Object, spec any) (string, error) {
	text, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": kind, "spec": spec,
		"metadata": map[string]string{"namespace": object.GetNamespace(), "name": object.GetName()},
	})
	if err != nil {
		return "", fmt.Errorf("write the %s: %w", kind, err)
	}
	lines, err := yaml.JSONToYAML(text)
	if err != nil {
		return "", fmt.Errorf("write the %s: %w", kind, err)
	}
	return string(lines), nil
}
