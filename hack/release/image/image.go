package image

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Spec says what an image is.
type Spec struct {
	Program  File   // what it runs
	Base     []File // what else it has; a layer of its own, which all images share
	Platform v1.Platform
	Labels   map[string]string // also the annotations of its manifest
	Created  time.Time
}

// Build assembles an image. It depends on nothing but the specification.
func Build(s Spec) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{
		OS: s.Platform.OS, Architecture: s.Platform.Architecture, Created: v1.Time{Time: s.Created},
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User: User, Entrypoint: []string{"/" + s.Program.Path}, Env: []string{"PATH=/"}, WorkingDir: "/",
			Labels: maps.Clone(s.Labels),
		},
	})
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		comment string
		files   []File
	}{{"certificates of authorities, users and licences", s.Base}, {"program", []File{s.Program}}} {
		layer, err := newLayer(part.files)
		if err != nil {
			return nil, err
		}
		img, err = mutate.Append(img, mutate.Addendum{
			Layer: layer, MediaType: types.OCILayer,
			History: v1.History{Created: v1.Time{Time: s.Created}, CreatedBy: "make images", Comment: part.comment},
		})
		if err != nil {
			return nil, err
		}
	}
	return annotated(img, s.Labels)
}

// Index joins the images of all platforms.
func Index(images []v1.Image, annotations map[string]string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		config, err := img.ConfigFile()
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture}},
		})
	}
	return annotated(index, annotations)
}

func annotated[T partial.WithRawManifest](of T, annotations map[string]string) (T, error) {
	with, ok := mutate.Annotations(of, annotations).(T)
	if !ok {
		return with, fmt.Errorf("%T cannot have annotations", of)
	}
	return with, nil
}

// compressed returns a layer with this content. It is compressed once, although it is read for the digest and for each copy.
func compressed(content []byte) (v1.Layer, error) {
	var packed bytes.Buffer
	out := gzip.NewWriter(&packed)
	if _, err := out.Write(content); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(packed.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	// Without the layer's own descriptor, which has annotations that are lost when it is read again.
	return struct{ v1.Layer }{layer}, err
}

// artifact is a document that a registry stores beside an image.
type artifact struct {
	config, content v1.Layer
	manifest        v1.Manifest
}

// Attachment returns a document that is about an image: registries list it among the image's referrers.
func Attachment(content []byte, mediaType types.MediaType, about v1.Image, annotations map[string]string) (v1.Image, error) {
	a := &artifact{
		config:  static.NewLayer([]byte("{}"), "application/vnd.oci.empty.v1+json"),
		content: static.NewLayer(content, mediaType),
		manifest: v1.Manifest{
			SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: string(mediaType), Annotations: annotations,
		},
	}
	for _, part := range []struct {
		of  partial.Describable
		set func(v1.Descriptor)
	}{
		{about, func(d v1.Descriptor) { d.ArtifactType = ""; a.manifest.Subject = &d }},
		{a.config, func(d v1.Descriptor) { a.manifest.Config = d }},
		{a.content, func(d v1.Descriptor) { a.manifest.Layers = []v1.Descriptor{d} }},
	} {
		descriptor, err := partial.Descriptor(part.of)
		if err != nil {
			return nil, err
		}
		part.set(*descriptor)
	}
	return partial.CompressedToImage(a)
}

func (a *artifact) MediaType() (types.MediaType, error) { return a.manifest.MediaType, nil }
func (a *artifact) RawManifest() ([]byte, error)        { return json.Marshal(a.manifest) }
func (a *artifact) RawConfigFile() ([]byte, error)      { return []byte("{}"), nil }

func (a *artifact) LayerByDigest(wanted v1.Hash) (partial.CompressedLayer, error) {
	switch wanted {
	case a.manifest.Config.Digest:
		return a.config, nil
	case a.manifest.Layers[0].Digest:
		return a.content, nil
	}
	return nil, fmt.Errorf("there is no blob %s", wanted)
}
