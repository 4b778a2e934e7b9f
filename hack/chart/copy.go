package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// generatedDirs have nothing but generated files.
var generatedDirs = []string{"files", "templates/crds"}

// copies are the directories and files of config/ that the chart has as they are, by their names in the chart. Templates read
// them, so that what they say is written in one place. Those of config/monitoring need not exist.
var copies = []struct{ from, to string }{
	{"config/rbac/role.yaml", "files/rbac/role.yaml"},
	{"config/rbac/restart_role.yaml", "files/rbac/restart_role.yaml"},
	{"config/rbac/users.yaml", "files/rbac/users.yaml"},
	{"config/rbac/validator_role.yaml", "files/rbac/validator_role.yaml"},
	{"config/namespaced/cluster_role.yaml", "files/namespaced/cluster_role.yaml"},
	{"config/namespaced/own_role.yaml", "files/namespaced/own_role.yaml"},
	{"config/namespaced/namespace/role.yaml", "files/namespaced/role.yaml"},
	{"config/console/monitoring/monitoring.yaml", "files/console/monitoring.yaml"},
	{"config/webhook/manifests.yaml", "files/webhook/manifests.yaml"},
	{"config/monitoring/services.yaml", "files/monitoring/services.yaml"},
	{"config/monitoring/monitors.yaml", "files/monitoring/monitors.yaml"},
	{"config/monitoring/rules.yaml", "files/monitoring/rules.yaml"},
	{"config/monitoring/dashboards/*.json", "files/monitoring/dashboards"},
}

const crdDir = "config/crd/bases"

func copyObjects(root string, files map[string][]byte) error {
	for _, c := range copies {
		found, err := filepath.Glob(filepath.Join(root, c.from))
		if err != nil {
			return err
		}
		if len(found) == 0 && !strings.HasPrefix(c.from, "config/monitoring/") {
			return fmt.Errorf("%s is missing", c.from)
		}
		for _, path := range found {
			to := c.to
			if strings.Contains(c.from, "*") {
				to += "/" + filepath.Base(path)
			}
			if files[to], err = os.ReadFile(path); err != nil {
				return err
			}
		}
	}
	return copyCRDs(root, files)
}

// copyCRDs makes templates of the CRDs.
func copyCRDs(root string, files map[string][]byte) error {
	entries, err := fs.ReadDir(os.DirFS(root), crdDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(root, crdDir, entry.Name()))
		if err != nil {
			return err
		}
		if files["templates/crds/"+entry.Name()], err = crdTemplate(text); err != nil {
			return fmt.Errorf("%s: %w", entry.Name(), err)
		}
	}
	return nil
}

const (
	crdMetadata = "metadata:\n  annotations:\n"
	crdName     = "\n  name: "
)

// crdTemplate adds the labels of the release and what crds.install and crds.keep say. What looks like a template in a
// description stays as it is.
func crdTemplate(text []byte) ([]byte, error) {
	text = bytes.TrimPrefix(text, []byte("---\n"))
	text = bytes.ReplaceAll(text, []byte("{{"), []byte(`{{ "{{" }}`))
	if !bytes.Contains(text, []byte(crdMetadata)) || !bytes.Contains(text, []byte(crdName)) {
		return nil, errors.New("it does not begin as controller-gen writes it")
	}
	text = bytes.Replace(text, []byte(crdMetadata), []byte(crdMetadata+`    {{- if .Values.crds.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
`), 1)
	text = bytes.Replace(text, []byte(crdName), []byte(`
  labels:
    {{- include "keyward.labels" (dict "root" .) | nindent 4 }}`+crdName), 1)
	head := "{{- /* Generated from " + crdDir + " by make generate. */}}\n{{- if .Values.crds.install }}\n"
	return bytes.Join([][]byte{[]byte(head), text, []byte("{{- end }}\n")}, nil), nil
}
