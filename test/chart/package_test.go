package chart

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

// TestPackage: the package that make chart and make dist write is one that Helm accepts, its images have the version of the
// build, and the same commit makes the same package, byte by byte.
func TestPackage(t *testing.T) {
	var packages [2][]byte
	for i := range packages {
		dist := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "go", "run", ".", "chart", "-root", "../..", "-dist", dist, "-version", "v0.1.0")
		cmd.Dir, cmd.Env = filepath.Join(root, "hack", "release"), append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		path := filepath.Join(dist, "keyward-0.1.0.tgz")
		var err error
		if packages[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		lint := action.NewLint()
		lint.Strict = true
		for _, problem := range lint.Run([]string{path}, nil).Errors {
			t.Error(problem)
		}
		c, err := loader.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if c.Metadata.Version != "0.1.0" || c.Metadata.AppVersion != "v0.1.0" {
			t.Errorf("its versions are %s and %s", c.Metadata.Version, c.Metadata.AppVersion)
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
