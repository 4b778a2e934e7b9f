package chart

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

func TestVersionNumber(t *testing.T) {
	for version, want := range map[string]string{
		"v0.1.0": "0.1.0", "v1.2.3-rc.1": "1.2.3-rc.1", "v0.1.0-3-g3e521d7": "0.1.0-3-g3e521d7", "3e521d7": "0.0.0-g3e521d7",
		"0123456": "0.0.0-g0123456", "3e521d7-dirty": "0.0.0-g3e521d7-dirty", "unknown": "0.0.0-gunknown", "v0.1": "0.0.0-gv0.1",
		"": "", "a/b": "", "v0.1.0+build": "", "a..b": "",
	} {
		got, err := versionNumber(version)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q becomes %q, %v; not %q", version, got, err, want)
		}
	}
}

// TestPackage: the same commit makes the same package, byte by byte, and its images have the version of the build.
func TestPackage(t *testing.T) {
	var packages [][]byte
	for range 2 {
		path, err := Package(chartDir, t.TempDir(), "v0.1.0", time.Unix(1_700_000_000, 0).UTC())
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(path) != "keyward-0.1.0.tgz" {
			t.Errorf("it is called %s", path)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, data)
		c, err := loader.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		manager := render(t, c, systemNamespace, nil).one(t, "Deployment", "keyward-manager")
		containers, _ := manager.at("spec", "template", "spec", "containers").([]any)
		container, _ := containers[0].(map[string]any)
		if image := object(container).text("image"); image != "keyward/manager:v0.1.0" {
			t.Errorf("the image is %s", image)
		}
	}
	if !bytes.Equal(packages[0], packages[1]) {
		t.Error("two packages of the same chart differ")
	}
}
