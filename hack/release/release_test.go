package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const repository = "../.."

// testRelease returns a release of the repository for this machine only, which is written to a new directory.
func testRelease(t *testing.T, root string) *release {
	t.Helper()
	t.Setenv("SOURCE_DATE_EPOCH", "1767323045")
	r := &release{root: root, dist: filepath.Join(t.TempDir(), "dist"), version: "v1.2.3", revision: "aaaa"}
	if err := r.complete(""); err != nil {
		t.Fatal(err)
	}
	return r
}

// only limits what is built to one program: the smallest by default.
func only(t *testing.T, name string) {
	t.Helper()
	all := programs
	t.Cleanup(func() { programs = all })
	programs = nil
	for _, p := range all {
		if p.name == name {
			programs = append(programs, p)
		}
	}
	if len(programs) != 1 {
		t.Fatalf("there is no program %s", name)
	}
}

// copied returns a copy of what programs are built from, in another folder and without Git.
func copied(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "another", "folder")
	err := filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(repository, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch name {
			case ".", "api", "cmd", "controllers", "internal", "pkg", "server", "webhook":
				return os.MkdirAll(filepath.Join(to, name), 0o755)
			}
			if !strings.Contains(name, "/") {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		switch filepath.Ext(name) {
		case ".go", ".mod", ".sum", "":
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(to, name), content, 0o600)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestSameDigest: the same sources give the same image, in any folder, in a checkout or without Git.
func TestSameDigest(t *testing.T) {
	only(t, "keyward-validator")
	var digests [2]string
	for i, root := range []string{repository, copied(t)} {
		list, err := testRelease(t, root).images(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		digests[i] = list.Images[0].Digest
	}
	if digests[0] != digests[1] || !strings.HasPrefix(digests[0], "sha256:") {
		t.Errorf("built twice: %q", digests)
	}
}

// TestEnvironment: settings of whoever builds do not get into what is built.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{"GOFLAGS": "-tags=failpoints", "GOAMD64": "v3", "GOARM64": "v9.0", "CGO_ENABLED": "1", "GOOS": "plan9"} {
		t.Setenv(name, value)
	}
	r := testRelease(t, repository)
	path, err := r.compile(t.Context(), programs[1], hostPlatform)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "keyward-validator v1.2.3 (revision aaaa, go") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), "go", "version", "-m", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range []string{"-tags=", "GOAMD64=v3", "GOARM64=v9.0", "CGO_ENABLED=1", "vcs."} {
		if strings.Contains(string(out), line) {
			t.Errorf("the program was built with %s: %s", line, out)
		}
	}
}
