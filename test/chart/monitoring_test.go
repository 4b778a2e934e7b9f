package chart

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMonitoringIsKustomize: with monitoring, the chart adds what config/monitoring has. The dashboards are in a ConfigMap each.
func TestMonitoringIsKustomize(t *testing.T) {
	if _, err := os.Stat(root + "/config/monitoring/kustomization.yaml"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no config/monitoring")
	}
	charted := render(t, load(t), systemNamespace, readValues(t, "testdata/values/monitoring.yaml"))
	got := dashboards(charted)
	for _, o := range charted {
		differences[0].chart(t, o) // the labels of the release
	}
	kustomized := build(t, "monitoring")
	if diff := cmp.Diff(dashboards(kustomized), got); diff != "" || len(got) == 0 {
		t.Errorf("%d dashboards (-kustomize, +chart):\n%s", len(got), diff)
	}
	for id, want := range kustomized {
		if want.kind() == "ConfigMap" {
			continue
		}
		got, has := charted[id]
		if !has {
			t.Errorf("the chart has no %s", id)
		} else if diff := cmp.Diff(asYAML(t, want), asYAML(t, got)); diff != "" {
			t.Errorf("%s (-kustomize, +chart):\n%s", id, diff)
		}
	}
}

// dashboards are the files of ConfigMaps for Grafana.
func dashboards(all objects) map[string]any {
	files := map[string]any{}
	for _, o := range all.ofKind("ConfigMap") {
		if o.text("metadata", "labels", "grafana_dashboard") == "1" {
			for name, text := range o.fields("data") {
				files[name] = text
			}
		}
	}
	return files
}
