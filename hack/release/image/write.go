package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Built is an image for all platforms, with what is attached to it.
type Built struct {
	Name        string // keyward/manager
	Tag         string
	Index       v1.ImageIndex
	Images      []v1.Image
	Attachments []v1.Image
}

// refName is the annotation by which an image is found in a layout.
const refName = "org.opencontainers.image.ref.name"

// WriteLayout writes images as an OCI layout, in place of what is in the directory. What is attached to images is not in it: containerd 1.6
// tries to unpack it, and fails to import the layout.
func WriteLayout(dir string, images []Built) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	out, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	for _, image := range images {
		named := layout.WithAnnotations(map[string]string{refName: image.Name + ":" + image.Tag})
		if err := out.AppendIndex(image.Index, named); err != nil {
			return fmt.Errorf("%s: %w", image.Name, err)
		}
	}
	return nil
}

// WriteArchive writes an image as docker load and ctr images import read it, with all its tags. The library's function for that writes
// several tags in random order.
func WriteArchive(path string, img v1.Image, tags ...string) (err error) {
	tag, err := name.NewTag(tags[0])
	if err != nil {
		return err
	}
	manifest, err := tarball.ComputeManifest(map[name.Reference]v1.Image{tag: img})
	if err != nil {
		return err
	}
	manifest[0].RepoTags = tags
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := tar.NewWriter(file)
	defer func() { err = errors.Join(err, out.Close()) }()

	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	if err := put(out, manifest[0].Config, config); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for i, layer := range layers {
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		data, err := io.ReadAll(content)
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
		if err := put(out, manifest[0].Layers[i], data); err != nil {
			return err
		}
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	return put(out, "manifest.json", text)
}

func put(out *tar.Writer, name string, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: epoch, Format: tar.FormatPAX}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := out.Write(content)
	return err
}

// Push sends an image with its attachments to a repository below prefix, such as registry.example/keyward, and returns its name there, with
// its digest. Credentials are those that docker login or similar commands have stored.
func Push(ctx context.Context, prefix string, image Built) (string, error) {
	tag, err := name.NewTag(prefix + "/" + filepath.Base(image.Name) + ":" + image.Tag)
	if err != nil {
		return "", fmt.Errorf("%w; write registry/repository", err)
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if err := remote.WriteIndex(tag, image.Index, options...); err != nil {
		return "", fmt.Errorf("pushing %s: %w", tag, err)
	}
	for _, attachment := range image.Attachments {
		digest, err := attachment.Digest()
		if err != nil {
			return "", err
		}
		if err := remote.Write(tag.Context().Digest(digest.String()), attachment, options...); err != nil {
			return "", fmt.Errorf("pushing what is attached to %s: %w", tag, err)
		}
	}
	digest, err := image.Index.Digest()
	if err != nil {
		return "", err
	}
	return tag.Name() + "@" + digest.String(), nil
}
