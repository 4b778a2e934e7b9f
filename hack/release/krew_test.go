package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildKrew builds krew, and a kubectl that knows no other plugin.
func buildKrew(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for program, pkg := range map[string]string{"kubectl-krew": "krew", "validate-krew-manifest": "validate-krew-manifest"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, program), "sigs.k8s.io/krew/cmd/"+pkg)
		build.Dir = filepath.Join(repository, "hack", "tools", "krew")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	kubectl := "#!/bin/sh\nplugin=kubectl-$1\nshift\nexec \"$plugin\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "kubectl"), []byte(kubectl), 0o755); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	return bin
}

// TestKrewAccepts has krew's own validation read the manifest, and install the plugin for each platform, as krew's index does before it
// accepts a plugin. The archives have what they have in a release, except that the program is a text.
func TestKrewAccepts(t *testing.T) {
	r := testRelease(t, repository)
	var archives []archived
	for _, target := range released {
		path := r.binary(pluginProgram(t), target)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(target.String()), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.archive(pluginProgram(t), target, path)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, a)
	}
	downloads := httptest.NewServer(http.StripPrefix("/"+r.version, http.FileServer(http.Dir(r.dist))))
	defer downloads.Close()
	if err := r.writeKrew(archives, downloads.URL); err != nil {
		t.Fatal(err)
	}
	bin := buildKrew(t)
	validate := exec.CommandContext(t.Context(), filepath.Join(bin, "validate-krew-manifest"), "-manifest", filepath.Join(r.dist, "krew", "keyward.yaml"))
	validate.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	out, err := validate.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all 6 spec.platforms installed fine") {
		t.Errorf("%v: %s", err, out)
	}
}

func pluginProgram(t *testing.T) program {
	t.Helper()
	for _, p := range programs {
		if p.name == plugin {
			return p
		}
	}
	t.Fatal("there is no plugin")
	return program{}
}
