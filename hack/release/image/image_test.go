package image

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const spdxJSON types.MediaType = "application/spdx+json"

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func base(t *testing.T) []File {
	t.Helper()
	notice := filepath.Join(t.TempDir(), "NOTICE")
	if err := os.WriteFile(notice, []byte("licences\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := BaseFiles("v1.2.3", notice)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func build(t *testing.T, arch string) v1.Image {
	t.Helper()
	img, err := Build(Spec{
		Program:  File{Path: "program", Content: []byte("machine code for " + arch), Executable: true},
		Base:     base(t),
		Platform: v1.Platform{OS: "linux", Architecture: arch},
		Labels:   map[string]string{"a": "1", "b": "2"}, Created: created,
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// built returns an image for two platforms, with a document for each.
func built(t *testing.T) Built {
	t.Helper()
	b := Built{Name: "keyward/program", Tag: "v0.1.0"}
	for _, arch := range []string{"amd64", "arm64"} {
		img := build(t, arch)
		document, err := Attachment([]byte(`{"spdxVersion":"SPDX-2.3"}`), spdxJSON, img, map[string]string{"a": "1"})
		if err != nil {
			t.Fatal(err)
		}
		b.Images, b.Attachments = append(b.Images, img), append(b.Attachments, document)
	}
	var err error
	if b.Index, err = Index(b.Images, map[string]string{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	return b
}

func digest(t *testing.T, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	hash, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

// contents returns the headers and contents of all files of an image.
func contents(t *testing.T, img v1.Image) (headers map[string]tar.Header, files map[string]string) {
	t.Helper()
	headers, files = map[string]tar.Header{}, map[string]string{}
	flat := mutate.Extract(img)
	defer func() { _ = flat.Close() }()
	for in := tar.NewReader(flat); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return headers, files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(header.Name, "/")
		headers[name], files[name] = *header, string(content)
	}
}

func TestConfig(t *testing.T) {
	img := build(t, "arm64")
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{
		User: "65532:65532", Entrypoint: []string{"/program"}, Env: []string{"PATH=/"}, WorkingDir: "/",
		Labels: map[string]string{"a": "1", "b": "2"},
	}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Error(diff)
	}
	if config.OS != "linux" || config.Architecture != "arm64" || !config.Created.Equal(created) {
		t.Errorf("for %s/%s, created at %s", config.OS, config.Architecture, config.Created)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.MediaType != types.OCIManifestSchema1 || manifest.Config.MediaType != types.OCIConfigJSON || manifest.Annotations["b"] != "2" {
		t.Errorf("%+v", manifest)
	}
	for _, layer := range manifest.Layers {
		if layer.MediaType != types.OCILayer {
			t.Errorf("layer of type %s", layer.MediaType)
		}
	}
}

// TestFiles: an image has these files and no other. They are root's, and of no particular time.
func TestFiles(t *testing.T) {
	headers, files := contents(t, build(t, "amd64"))
	want := map[string]int64{
		"etc": 0o755, "etc/passwd": 0o644, "etc/group": 0o644, "etc/ssl": 0o755, "etc/ssl/certs": 0o755,
		"etc/ssl/certs/ca-certificates.crt": 0o644, "licenses": 0o755, "licenses/NOTICE": 0o644, "program": 0o755,
	}
	if got, want := slices.Sorted(maps.Keys(headers)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
		t.Errorf("the image has %q, want %q", got, want)
	}
	for name, h := range headers {
		if h.Mode&0o7777 != want[name] || h.Uid != 0 || h.Gid != 0 || h.Uname+h.Gname != "" || h.ModTime.Unix() != 0 {
			t.Errorf("%s: %+v", name, h)
		}
	}
	if got := files["program"]; got != "machine code for amd64" {
		t.Errorf("the program is %q", got)
	}
	if !strings.Contains(files["etc/passwd"], "\nkeyward:x:65532:65532:") {
		t.Errorf("etc/passwd: %s", files["etc/passwd"])
	}
}

func TestAuthorities(t *testing.T) {
	text := authorities("v1.2.3")
	if !strings.Contains(string(text), "x509roots/fallback v1.2.3") {
		t.Error("the file does not say where it is from")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate can be read")
	}
	if n := bytes.Count(text, []byte("BEGIN CERTIFICATE")); n < 100 {
		t.Errorf("%d certificates", n)
	}
}

// TestSameBytes: an image depends on nothing but its specification.
func TestSameBytes(t *testing.T) {
	one, two := built(t), built(t)
	if a, b := digest(t, one.Index), digest(t, two.Index); a != b {
		t.Errorf("%s and %s", a, b)
	}
	var archives [][]byte
	for _, b := range []Built{one, two} {
		path := filepath.Join(t.TempDir(), "image.tar")
		if err := WriteArchive(path, b.Images[0], "keyward/program:v0.1.0", "keyward/program:latest"); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, content)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
}

// TestLayersAreShared: the images of all programs and platforms have the same first layer, so that it is stored once.
func TestLayersAreShared(t *testing.T) {
	var first []string
	for _, arch := range []string{"amd64", "arm64"} {
		layers, err := build(t, arch).Layers()
		if err != nil {
			t.Fatal(err)
		}
		if len(layers) != 2 {
			t.Fatalf("%d layers", len(layers))
		}
		first = append(first, digest(t, layers[0]))
	}
	if first[0] != first[1] {
		t.Errorf("%q", first)
	}
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "oci")
	b := built(t)
	for range 2 { // the second time in place of the first
		if err := WriteLayout(dir, []Built{b}); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the layout has %d manifests, want one index", len(manifest.Manifests))
	}
	image := manifest.Manifests[0]
	if image.Annotations["org.opencontainers.image.ref.name"] != "keyward/program:v0.1.0" || image.Digest.String() != digest(t, b.Index) {
		t.Errorf("%+v", image)
	}
}

// TestArchive reads the archive again, as docker load does: by each of its tags.
func TestArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	img := build(t, "amd64")
	tags := []string{"keyward/program:v0.1.0", "keyward/program:latest"}
	if err := WriteArchive(path, img, tags...); err != nil {
		t.Fatal(err)
	}
	for _, text := range tags {
		tag, err := name.NewTag(text)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := tarball.ImageFromPath(path, &tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(loaded); err != nil {
			t.Error(err)
		}
		want, _ := img.ConfigName()
		if got, err := loaded.ConfigName(); err != nil || got != want {
			t.Errorf("%s is %s, want %s: %v", text, got, want, err)
		}
	}
}

// TestPush pushes to a registry and pulls again, with the documents that the registry lists for an image.
func TestPush(t *testing.T) {
	for kind, referrers := range map[string]bool{"new": true, "old": false} {
		t.Run(kind, func(t *testing.T) {
			server := httptest.NewServer(registry.New(registry.WithReferrersSupport(referrers), registry.Logger(log.New(io.Discard, "", 0))))
			defer server.Close()
			b := built(t)
			pushed, err := Push(t.Context(), strings.TrimPrefix(server.URL, "http://")+"/acme", b)
			if err != nil {
				t.Fatal(err)
			}
			if want := "/acme/program:v0.1.0@" + digest(t, b.Index); !strings.HasSuffix(pushed, want) {
				t.Errorf("pushed as %s, want …%s", pushed, want)
			}
			tag, err := name.NewTag(strings.Split(pushed, "@")[0])
			if err != nil {
				t.Fatal(err)
			}
			index, err := remote.Index(tag)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Index(index); err != nil {
				t.Error(err)
			}
			if got := digest(t, index); got != digest(t, b.Index) {
				t.Errorf("pulled %s", got)
			}
			for _, img := range b.Images {
				listed, err := remote.Referrers(tag.Context().Digest(digest(t, img)))
				if err != nil {
					t.Fatal(err)
				}
				manifest, err := listed.IndexManifest()
				if err != nil {
					t.Fatal(err)
				}
				if len(manifest.Manifests) != 1 {
					t.Fatalf("referrers: %+v", manifest.Manifests)
				}
				document, err := remote.Image(tag.Context().Digest(manifest.Manifests[0].Digest.String()))
				if err != nil {
					t.Fatal(err)
				}
				if kind, err := partial.ArtifactType(document); err != nil || kind != string(spdxJSON) {
					t.Errorf("the document is %s: %v", kind, err)
				}
				if got := firstBlob(t, document); !strings.Contains(got, "SPDX-2.3") {
					t.Errorf("the document is %q", got)
				}
			}
		})
	}
}

func TestPushNamesWhatToWrite(t *testing.T) {
	if _, err := Push(t.Context(), "Not A Registry", built(t)); err == nil || !strings.Contains(err.Error(), "write registry/repository") {
		t.Errorf("%v", err)
	}
}

func firstBlob(t *testing.T, img v1.Image) string {
	t.Helper()
	manifest, err := partial.Manifest(img)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := img.LayerByDigest(manifest.Layers[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blob.Close() }()
	text, err := io.ReadAll(blob)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWriteFiles: the files for the Dockerfile are those of the image, regardless of the umask.
func TestWriteFiles(t *testing.T) {
	dir := t.TempDir()
	files := append([]File{{Path: "program", Content: []byte("machine code for amd64"), Executable: true}}, base(t)...)
	if err := WriteFiles(dir, files); err != nil {
		t.Fatal(err)
	}
	headers, texts := contents(t, build(t, "amd64"))
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		header, ok := headers[filepath.ToSlash(name)]
		if !ok || header.FileInfo().Mode() != info.Mode() {
			t.Errorf("%s has mode %s, in the image it has %s", name, info.Mode(), header.FileInfo().Mode())
		}
		delete(headers, filepath.ToSlash(name))
		if !entry.IsDir() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if string(content) != texts[filepath.ToSlash(name)] {
				t.Errorf("%s differs", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range headers {
		t.Errorf("%s was not written", name)
	}
}
