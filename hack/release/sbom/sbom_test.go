package sbom

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
)

// fixture builds a program that is linked from a module.
func fixture(t *testing.T) Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	// This module has what is needed already; the program is linked from go-cmp.
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, "./testdata/program")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	build, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(build.Deps) != 1 {
		t.Fatalf("the program is linked from %d modules", len(build.Deps))
	}
	return Program{
		Name: "program", Path: path, Source: "./testdata/program", Platform: "linux/amd64", Version: "v0.1.0", Revision: "aaaa",
		Created:  time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)),
		Licenses: Licenses{standardLibrary: "BSD-3-Clause", "github.com/google/go-cmp " + build.Deps[0].Version: "BSD-3-Clause"},
	}
}

// write writes and reads a document. Fields that SPDX does not have would not be read by others.
func write(t *testing.T, p Program, container *Container) *document {
	t.Helper()
	text, err := Write(p, container)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Write(p, container)
	if err != nil || string(again) != string(text) {
		t.Errorf("the second document differs: %v", err)
	}
	d := &document{}
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	check(t, d)
	read(t, text)
	return d
}

// read reads a document with another implementation of SPDX.
func read(t *testing.T, text []byte) {
	t.Helper()
	other, err := spdxjson.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(other); err != nil {
		t.Error(err)
	}
	if described, err := spdxlib.GetDescribedPackageIDs(other); err != nil || len(described) != 1 {
		t.Errorf("the document describes %q: %v", described, err)
	}
}

// check checks what SPDX 2.3 demands.
func check(t *testing.T, d *document) {
	t.Helper()
	if d.Version != "SPDX-2.3" || d.DataLicense != "CC0-1.0" || d.ID != "SPDXRef-DOCUMENT" || d.Name == "" || len(d.Creation.Creators) == 0 {
		t.Errorf("%+v", d)
	}
	if _, err := time.Parse("2006-01-02T15:04:05Z", d.Creation.Created); err != nil {
		t.Error(err)
	}
	ids := map[string]bool{d.ID: true}
	for _, p := range d.Packages {
		if !regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`).MatchString(p.ID) || ids[p.ID] {
			t.Errorf("%q is no identifier, or is there twice", p.ID)
		}
		ids[p.ID] = true
		if p.Name == "" || p.DownloadLocation == "" || p.LicenseConcluded == "" || p.LicenseDeclared == "" || p.Copyright == "" {
			t.Errorf("%+v", p)
		}
		for _, r := range p.References {
			if !regexp.MustCompile(`^pkg:[a-z]+/[a-z0-9./_-]+@[A-Za-z0-9.%-]+(#[a-z/-]+)?$`).MatchString(r.Locator) {
				t.Errorf("package URL %s", r.Locator)
			}
		}
	}
	for _, r := range d.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("%+v is about an element that there is not", r)
		}
	}
}

// related returns what the relationships say, by names of packages.
func related(d *document) []string {
	names := map[string]string{d.ID: "document"}
	for _, p := range d.Packages {
		names[p.ID] = p.Name
	}
	var all []string
	for _, r := range d.Relationships {
		all = append(all, names[r.From]+" "+r.Type+" "+names[r.To])
	}
	slices.Sort(all)
	return all
}

func TestProgram(t *testing.T) {
	d := write(t, fixture(t), nil)
	want := []string{"document DESCRIBES program", "program DEPENDS_ON github.com/google/go-cmp", "program DEPENDS_ON stdlib"}
	if diff := cmp.Diff(want, related(d)); diff != "" {
		t.Error(diff)
	}
	if d.Creation.Created != "2026-01-02T02:04:05Z" {
		t.Errorf("created at %s", d.Creation.Created)
	}
	for _, p := range d.Packages {
		if p.Name == "github.com/google/go-cmp" && p.LicenseDeclared != "BSD-3-Clause" {
			t.Errorf("%+v", p)
		}
	}
}

func TestContainer(t *testing.T) {
	d := write(t, fixture(t), &Container{Name: "keyward/program", Digest: "sha256:" + strings.Repeat("a", 64), Roots: Roots{"example.com/roots", "v1.0.0"}})
	want := []string{
		"document DESCRIBES keyward/program", "keyward/program CONTAINS ca-certificates", "keyward/program CONTAINS program",
		"program DEPENDS_ON github.com/google/go-cmp", "program DEPENDS_ON stdlib",
	}
	if diff := cmp.Diff(want, related(d)); diff != "" {
		t.Error(diff)
	}
}

// TestUnknownLicense: what NOTICE does not name must not be released.
func TestUnknownLicense(t *testing.T) {
	p := fixture(t)
	maps.DeleteFunc(p.Licenses, func(name, _ string) bool { return name != standardLibrary })
	if _, err := Write(p, nil); err == nil || !strings.Contains(err.Error(), "go-cmp") || !strings.Contains(err.Error(), "make licenses") {
		t.Errorf("%v", err)
	}
}

func TestPackageURL(t *testing.T) {
	for _, c := range []struct{ path, version, subpath, want string }{
		{"golang/github.com/Azure/go-ansiterm", "v1.0.0", "", "pkg:golang/github.com/azure/go-ansiterm@v1.0.0"},
		{"golang/example.com/a", "v2.0.1+incompatible", "", "pkg:golang/example.com/a@v2.0.1%2Bincompatible"},
		{"golang/example.com/a", "v1.0.0", "cmd/a", "pkg:golang/example.com/a@v1.0.0#cmd/a"},
		{"oci/manager", "sha256:ab", "", "pkg:oci/manager@sha256%3Aab"},
	} {
		if got := purl(c.path, c.version, c.subpath).Locator; got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestReadLicenses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "NOTICE")
	if err := os.WriteFile(path, []byte(`Keyward's programs are linked from the following software.

====
example.com/one v1.0.0, LICENSE (MIT)
example.com/two v0.0.0-20260102030405-aaaaaaaaaaaa, sub/LICENSE.txt (Apache-2.0 AND MIT)
example.com/two v0.0.0-20260102030405-aaaaaaaaaaaa, NOTICE
the Go standard library (BSD-3-Clause)
----

A licence (MIT)
====
example.com/two v0.0.0-20260102030405-aaaaaaaaaaaa, other/LICENSE (ISC)
`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLicenses(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Licenses{
		"example.com/one v1.0.0":                             "MIT",
		"the Go standard library":                            "BSD-3-Clause",
		"example.com/two v0.0.0-20260102030405-aaaaaaaaaaaa": "Apache-2.0 AND ISC AND MIT",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
