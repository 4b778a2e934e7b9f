package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// checkDockerfile builds the Dockerfile with buildah from the files of the images, and compares the results with what make images has
// built. It needs no registry. Compiling in a container differs only in where the files come from.
func checkDockerfile(t *testing.T, r *release) {
	buildah := newBuildah(t)
	if err := r.files(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		_, target, _ := strings.Cut(p.image, "/")
		// The Dockerfile copies dist/files of the repository. Here, the directory above dist is in its place.
		built := buildah.build(t, filepath.Dir(r.dist), target)
		ours, err := tarball.ImageFromPath(filepath.Join(r.dist, "images", p.name+"-"+hostPlatform.in("-")+".tar"), nil)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, p.image, ours, built)
	}
}

type buildah struct{ dir string }

// newBuildah skips the test where buildah is missing or may not build.
func newBuildah(t *testing.T) *buildah {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		t.Skip("buildah is not installed")
	}
	b := &buildah{t.TempDir()}
	empty := filepath.Join(b.dir, "Dockerfile")
	if err := os.WriteFile(empty, []byte("FROM scratch\nCOPY Dockerfile /\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := b.run(t, "build", "--file", empty, b.dir); err != nil {
		t.Skipf("buildah cannot build on this machine: %v: %s", err, out)
	}
	return b
}

// run runs buildah with a store of its own.
func (b *buildah) run(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	store := []string{"--root", filepath.Join(b.dir, "store"), "--runroot", filepath.Join(b.dir, "run"), "--storage-driver", "vfs"}
	cmd := exec.CommandContext(t.Context(), "buildah", append(store, args...)...)
	cmd.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot")
	return cmd.CombinedOutput()
}

func (b *buildah) build(t *testing.T, context, target string) v1.Image {
	t.Helper()
	archive := filepath.Join(b.dir, target+".tar")
	for _, args := range [][]string{
		{"build", "--file", filepath.Join(repository, "Dockerfile"), "--target", target, "--build-arg", "FILES=prebuilt",
			"--build-arg", "VERSION=v1.2.3", "--build-arg", "REVISION=aaaa", "--tag", "keyward/" + target, context},
		{"push", "--quiet", "keyward/" + target, "docker-archive:" + archive},
	} {
		if out, err := b.run(t, args...); err != nil {
			t.Fatalf("buildah %q: %v: %s", args, err, out)
		}
	}
	img, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// compare compares the files and the configurations of two images.
func compare(t *testing.T, name string, ours, built v1.Image) {
	t.Helper()
	want, err := ours.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got, err := built.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got.OS != want.OS || got.Architecture != want.Architecture {
		t.Errorf("%s: for %s/%s, want %s/%s", name, got.OS, got.Architecture, want.OS, want.Architecture)
	}
	// The engine says when it has built, and which version it is.
	delete(want.Config.Labels, "org.opencontainers.image.created")
	delete(got.Config.Labels, "io.buildah.version")
	if diff := cmp.Diff(want.Config, got.Config); diff != "" {
		t.Errorf("%s: the configurations differ (-make images +Dockerfile):\n%s", name, diff)
	}
	if diff := cmp.Diff(listing(t, ours), listing(t, built)); diff != "" {
		t.Errorf("%s: the files differ (-make images +Dockerfile):\n%s", name, diff)
	}
}

// listing returns modes, owners and checksums of all files of an image.
func listing(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	files := map[string]string{}
	flat := mutate.Extract(img)
	defer func() { _ = flat.Close() }()
	for in := tar.NewReader(flat); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		sum, _, err := v1.SHA256(in)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.Trim(header.Name, "/")
		files[name] = fmt.Sprintf("%s %d:%d %s", header.FileInfo().Mode(), header.Uid, header.Gid, sum.Hex)
	}
}
