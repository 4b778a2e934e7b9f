package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"sigs.k8s.io/yaml"
)

// TestDist builds everything for this machine, from this repository.
func TestDist(t *testing.T) {
	r := testRelease(t, repository)
	if err := os.MkdirAll(r.dist, 0o755); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(r.dist, "kubectl-keyward_v0.0.1_linux_amd64.tar.gz")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Of others, as make docs writes its site into dist.
	for _, name := range []string{"docs/index.html", "secret-notes.txt", "images/notes.txt"} {
		path := filepath.Join(r.dist, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.everything(t.Context(), "", "https://downloads.example/"); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(r.dist, name))
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a file of an earlier version is left")
	}
	t.Run("checksums", func(t *testing.T) {
		verify := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", checksums)
		verify.Dir = r.dist
		if out, err := verify.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		for _, name := range []string{"install.yaml", "krew/keyward.yaml", "images.json", "RELEASE_NOTES.md", r.hostArchive("keyward-validator"), r.hostArchive("kubectl-keyward")} {
			if !strings.Contains(read(checksums), "  "+name+"\n") {
				t.Errorf("%s has no checksum:\n%s", name, read(checksums))
			}
		}
		if sums := read(checksums); strings.Contains(sums, "docs/") || strings.Contains(sums, "notes.txt") {
			t.Errorf("there are files of others in:\n%s", sums)
		}
		// Everything that the release has written has one.
		_ = filepath.WalkDir(r.dist, func(path string, entry fs.DirEntry, err error) error {
			name := filepath.ToSlash(strings.TrimPrefix(path, r.dist+string(filepath.Separator)))
			switch {
			case err != nil || entry.IsDir() && slices.Contains([]string{"bin", "images/oci", "docs"}, name):
				return fs.SkipDir
			case !entry.IsDir() && name != checksums && name != "secret-notes.txt" && !strings.Contains(read(checksums), "  "+name+"\n"):
				t.Errorf("%s has no checksum", name)
			}
			return nil
		})
	})
	t.Run("images", func(t *testing.T) {
		var list imageList
		if err := json.Unmarshal([]byte(read("images.json")), &list); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, image := range list.Images {
			names = append(names, image.Name)
		}
		slices.Sort(names)
		want := []string{"keyward/console", "keyward/kubectl-keyward", "keyward/manager", "keyward/validator"}
		if !slices.Equal(names, want) || list.Version != "v1.2.3" || list.Revision != "aaaa" {
			t.Fatalf("%+v", list)
		}
		index, err := layout.ImageIndexFromPath(filepath.Join(r.dist, "images", "oci"))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(index); err != nil {
			t.Error(err)
		}
		for _, image := range list.Images {
			for _, p := range image.Platforms {
				for _, file := range []string{p.Archive, p.SBOM} {
					if _, err := os.Stat(filepath.Join(r.dist, file)); err != nil {
						t.Error(err)
					}
				}
			}
		}
	})
	t.Run("install.yaml", func(t *testing.T) { checkInstall(t, read("install.yaml")) })
	t.Run("archive", func(t *testing.T) {
		files := unpacked(t, filepath.Join(r.dist, r.hostArchive("kubectl-keyward")))
		if want := []string{"kubectl-keyward", "kubectl_complete-keyward", "LICENSE", "NOTICE"}; !slices.Equal(files, want) {
			t.Errorf("%q, want %q", files, want)
		}
	})
	t.Run("Dockerfile", func(t *testing.T) { checkDockerfile(t, r) })
	t.Run("krew", func(t *testing.T) {
		sum, err := sumOf(filepath.Join(r.dist, r.hostArchive("kubectl-keyward")))
		if err != nil {
			t.Fatal(err)
		}
		checkKrew(t, read("krew/keyward.yaml"), krewPlatform{
			Selector: krewSelector{MatchLabels: map[string]string{"os": "linux", "arch": hostPlatform.arch}},
			URI:      "https://downloads.example/v1.2.3/" + r.hostArchive("kubectl-keyward"),
			SHA256:   sum, Bin: "kubectl-keyward",
		})
	})
}

// hostArchive returns the name of the archive of a program for this machine.
func (r *release) hostArchive(program string) string {
	return program + "_" + r.version + "_" + hostPlatform.in("_") + ".tar.gz"
}

// checkInstall: the file applies in its order, and names the images of the release.
func checkInstall(t *testing.T, text string) {
	t.Helper()
	var kinds, images, ofSidecars []string
	for object := range strings.SplitSeq(text, "\n---\n") {
		var o struct {
			Kind     string
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Template struct {
					Spec struct {
						Containers []struct {
							Image string
							Env   []struct{ Name, Value string }
						}
					}
				}
			}
		}
		if err := yaml.Unmarshal([]byte(object), &o); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, o.Kind)
		if o.Metadata.Labels["app.kubernetes.io/version"] != "v1.2.3" {
			t.Errorf("a %s does not have the label of the version", o.Kind)
		}
		for _, c := range o.Spec.Template.Spec.Containers {
			images = append(images, c.Image)
			for _, variable := range c.Env {
				if variable.Name == "KEYWARD_SIDECAR_IMAGE" {
					ofSidecars = append(ofSidecars, variable.Value)
				}
			}
		}
	}
	if kinds[0] != "Namespace" || !slices.Contains(kinds, "CustomResourceDefinition") {
		t.Errorf("kinds %q", kinds)
	}
	if want := []string{"keyward/manager:v1.2.3", "keyward/validator:v1.2.3"}; !slices.Equal(images, want) {
		t.Errorf("images %q, want %q", images, want)
	}
	if want := []string{"keyward/validator:v1.2.3"}; !slices.Equal(ofSidecars, want) {
		t.Errorf("images of sidecars %q, want %q", ofSidecars, want)
	}
}

func checkKrew(t *testing.T, text string, want krewPlatform) {
	t.Helper()
	var plugin krewPlugin
	if err := yaml.UnmarshalStrict([]byte(text), &plugin); err != nil {
		t.Fatal(err)
	}
	if plugin.Metadata.Name != "keyward" || plugin.Spec.Version != "v1.2.3" || plugin.Spec.ShortDescription == "" {
		t.Errorf("%+v", plugin)
	}
	if diff := cmp.Diff([]krewPlatform{want}, plugin.Spec.Platforms); diff != "" {
		t.Error(diff)
	}
}

func unpacked(t *testing.T, path string) (names []string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	content, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(content); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}

func TestPushedImagesArePinned(t *testing.T) {
	for pushed, want := range map[string][3]string{
		"": {"", "v1.2.3", ""},
		"registry.example:5000/acme/manager:v1.2.3@sha256:aa": {"registry.example:5000/acme/manager", "v1.2.3", "sha256:aa"},
	} {
		r := imageRecord{Name: "keyward/manager", Tag: "v1.2.3", Pushed: pushed}.replacement()
		if got := [3]string{r.NewName, r.NewTag, r.Digest}; got != want || r.Name != "keyward/manager" {
			t.Errorf("%q: %q, want %q", pushed, got, want)
		}
	}
}

// TestInstall: install.yaml names the images of the release, without that any is built.
func TestInstall(t *testing.T) {
	r := testRelease(t, repository)
	err := r.writeInstall(&imageList{Images: []imageRecord{
		{Name: "keyward/manager", Tag: "v1.2.3"}, {Name: "keyward/validator", Tag: "v1.2.3"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.dist, "install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	checkInstall(t, string(text))
}

func TestChangesOf(t *testing.T) {
	const changelog = "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.2.0] - 2026-01-02\n\n### Added\n\n- second\n\n## [0.1.0]\n\n- first\n"
	for version, want := range map[string]string{
		"v0.1.0": "- first", "v0.2.0": "### Added\n\n- second", "v0.3.0": "- new", "v0.0.0-20260102030405-aaaaaaaaaaaa": "- new",
	} {
		if got, err := changesOf(changelog, version); err != nil || got != want {
			t.Errorf("%s: %q, %v", version, got, err)
		}
	}
	if _, err := changesOf("# Changelog\n", "v0.1.0"); err == nil || !strings.Contains(err.Error(), "[0.1.0]") {
		t.Errorf("%v", err)
	}
}

// TestChart: the package has what belongs to the chart, and nothing of an earlier version is left beside it.
func TestChart(t *testing.T) {
	r := testRelease(t, repository)
	r.root = t.TempDir()
	for name, text := range map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: keyward\n# a comment\nversion: 0.0.0\nappVersion: latest\n", "values.yaml": "imageRegistry: \"\"\n",
		"templates/a.yaml": "", "templates/a.yaml~": "", ".helmignore": "# of editors\n*~\n\n*.swp\n", ".values.yaml.swp": "",
	} {
		path := filepath.Join(r.root, "charts/keyward", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(r.dist, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dist, "keyward-1.2.2.tgz"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.chart(); err != nil {
		t.Fatal(err)
	}
	want := []string{"keyward/Chart.yaml", "keyward/.helmignore", "keyward/templates/a.yaml", "keyward/values.yaml"}
	if got := unpacked(t, filepath.Join(r.dist, "keyward-1.2.3.tgz")); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	entries, err := os.ReadDir(r.dist)
	if err != nil || len(entries) != 1 {
		t.Errorf("dist has %v: %v", entries, err)
	}
}

func TestIgnoredPatterns(t *testing.T) {
	for _, line := range []string{"docs/", "!values.yaml", "["} {
		path := filepath.Join(t.TempDir(), ignoreFile)
		if err := os.WriteFile(path, []byte("*.swp\n"+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readIgnored(path); err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestStampValues: the values of the chart as it is name the images that were pushed, by their digests.
func TestStampValues(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "charts", "keyward", valuesFile))
	if err != nil {
		t.Fatal(err)
	}
	type imageValues struct{ Repository, Tag, Digest string }
	type component struct{ Image imageValues }
	var got struct {
		ImageRegistry      string
		Manager, Validator component
	}
	manager := imageRecord{Name: "keyward/manager", Tag: "v1.2.3"}
	if stamped, err := stampValues(string(text), []imageRecord{manager}); err != nil || stamped != string(text) {
		t.Errorf("the values change although nothing was pushed: %v", err)
	}
	manager.Pushed = "registry.example:5000/acme/manager:v1.2.3@sha256:aa"
	stamped, err := stampValues(string(text), []imageRecord{
		manager,
		{Name: "keyward/validator", Tag: "v1.2.3", Pushed: "registry.example:5000/acme/validator:v1.2.3@sha256:bb"},
		{Name: "keyward/kubectl-keyward", Tag: "v1.2.3", Pushed: "registry.example:5000/acme/kubectl-keyward:v1.2.3@sha256:cc"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(stamped), &got); err != nil {
		t.Fatal(err)
	}
	want := got
	want.ImageRegistry = "registry.example:5000"
	want.Manager.Image, want.Validator.Image = imageValues{"acme/manager", "", "sha256:aa"}, imageValues{"acme/validator", "", "sha256:bb"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := stampValues(strings.ReplaceAll(string(text), "imageRegistry", "registry"), []imageRecord{manager}); err == nil {
		t.Error("values without imageRegistry are no error")
	}
}

func TestStampChart(t *testing.T) {
	got, err := stampChart("version: 0.0.0\nappVersion: latest\nname: a\n", "v1.2.3")
	if want := "version: 1.2.3\nappVersion: v1.2.3\nname: a\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := stampChart("version: 0.0.0\n", "v1.2.3"); err == nil || !strings.Contains(err.Error(), "appVersion") {
		t.Errorf("%v", err)
	}
}

func TestPlatforms(t *testing.T) {
	for list, want := range map[string]string{
		"": "linux/" + hostPlatform.arch, "linux/amd64": "linux/amd64", "windows/arm64,linux/arm64,linux/amd64": "linux/amd64,linux/arm64,windows/arm64",
	} {
		got, err := parsePlatforms(list)
		if err != nil || names(got) != want {
			t.Errorf("%q: %s, want %s: %v", list, names(got), want, err)
		}
	}
	if _, err := parsePlatforms("linux/mips"); err == nil || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("%v", err)
	}
}

// TestArguments: what is wrong is named, with what to write.
func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args  []string
		epoch string
		want  string
	}{
		{nil, "", `"" is no command`},
		{[]string{"image"}, "", `"image" is no command`},
		{[]string{"images"}, "", "such as v0.1.0"},
		{[]string{"images", "-version", "v1.0.0+2"}, "", "such as v0.1.0"},
		{[]string{"chart", "-version", "v1.0"}, "", "such as v0.1.0"},
		{[]string{"chart", "-version", "3e521d7"}, "", "such as v0.1.0"},
		{[]string{"chart", "-version", "v1.0.0-" + strings.Repeat("a", 57)}, "", "such as v0.1.0"},
		{[]string{"images", "-version", "v1.0.0", "-platforms", "linux"}, "", "linux/amd64"},
		{[]string{"images", "-version", "v1.0.0", "-platforms", "darwin/arm64", "-root", repository}, "", "images are for Linux"},
		{[]string{"images", "-version", "v1.0.0"}, "yesterday", "SOURCE_DATE_EPOCH: write a number of seconds"},
	} {
		t.Setenv("SOURCE_DATE_EPOCH", c.epoch)
		if err := run(t.Context(), c.args); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
	}
}
