// Package image assembles container images from files, without a container engine and without a base image.
package image

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// User is the user and the group that programs run as. Kubernetes can see that it is not root only if it is a number.
const User = "65532:65532"

// File is a regular file of an image. It belongs to root, so that the program cannot change it.
type File struct {
	Path       string // without a slash at its beginning
	Content    []byte
	Executable bool
}

func (f File) mode() fs.FileMode {
	if f.Executable {
		return 0o755
	}
	return 0o644
}

// BaseFiles returns what every image has beside its program. licenses are files of the repository.
func BaseFiles(rootsVersion string, licenses ...string) ([]File, error) {
	files := []File{
		{Path: "etc/passwd", Content: []byte("root:x:0:0:root:/:/sbin/nologin\nkeyward:x:65532:65532:Keyward:/:/sbin/nologin\n")},
		{Path: "etc/group", Content: []byte("root:x:0:\nkeyward:x:65532:\n")},
		{Path: "etc/ssl/certs/ca-certificates.crt", Content: authorities(rootsVersion)},
	}
	for _, license := range licenses {
		text, err := os.ReadFile(license)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: path.Join("licenses", filepath.Base(license)), Content: text})
	}
	return files, nil
}

// authorities returns the certificates of public authorities, from a module that go.sum pins. A file of a Linux distribution would depend
// on the machine.
func authorities(version string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Root certificates of Mozilla (MPL-2.0), from golang.org/x/crypto/x509roots/fallback %s.\n"+
		"# Roots that Mozilla trusts only with conditions are left out, because this file cannot express them.\n", version)
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer has no errors
		}
	}
	return out.Bytes()
}

// epoch is the time of all files, which is older than any program: unchanged files are the same layer in all releases.
var epoch = time.Unix(0, 0).UTC()

// newLayer returns a layer with the files and the directories that they need.
func newLayer(files []File) (v1.Layer, error) {
	var content bytes.Buffer
	out := tar.NewWriter(&content)
	for _, dir := range directories(files) {
		if err := out.WriteHeader(&tar.Header{
			Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: epoch, Format: tar.FormatUSTAR,
		}); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		if err := out.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: f.Path, Mode: int64(f.mode()), Size: int64(len(f.Content)), ModTime: epoch, Format: tar.FormatUSTAR,
		}); err != nil {
			return nil, err
		}
		if _, err := out.Write(f.Content); err != nil {
			return nil, err
		}
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return compressed(content.Bytes())
}

// directories returns the directories of the files, parents first.
func directories(files []File) []string {
	var dirs []string
	for _, f := range files {
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// WriteFiles writes the files of an image into a directory, with the modes that they have in the image.
func WriteFiles(root string, files []File) error {
	for _, dir := range append([]string{"."}, directories(files)...) {
		dir = filepath.Join(root, filepath.FromSlash(dir))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the program's user has to read it
			return err
		}
	}
	for _, f := range files {
		name := filepath.Join(root, filepath.FromSlash(f.Path))
		if err := os.WriteFile(name, f.Content, f.mode()); err != nil {
			return err
		}
		if err := os.Chmod(name, f.mode()); err != nil {
			return err
		}
	}
	return nil
}
