package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/keyward-dev/keyward/hack/release/image"
	"github.com/keyward-dev/keyward/hack/release/sbom"
)

//go:embed go.mod
var goMod string

// roots is where the certificates of public authorities are from.
var roots = sbom.Roots{
	Module:  "golang.org/x/crypto/x509roots/fallback",
	Version: regexp.MustCompile(`golang\.org/x/crypto/x509roots/fallback (v\S+)`).FindStringSubmatch(goMod)[1],
}

// imageList is dist/images.json: what was built, for the programs that use it.
type imageList struct {
	Version  string        `json:"version"`
	Revision string        `json:"revision"`
	Images   []imageRecord `json:"images"`
}

type imageRecord struct {
	Name      string           `json:"name"`
	Tag       string           `json:"tag"`
	Digest    string           `json:"digest"` // of the index
	Pushed    string           `json:"pushed,omitempty"`
	Platforms []platformRecord `json:"platforms"`
}

type platformRecord struct {
	Platform string `json:"platform"`
	Digest   string `json:"digest"`
	Archive  string `json:"archive"` // for docker load and ctr images import, below dist
	SBOM     string `json:"sbom"`    // below dist
}

// images builds all images into dist/images, and pushes them if there is a repository to push to.
func (r *release) images(ctx context.Context, push string) (*imageList, error) {
	base, err := r.baseFiles()
	if err != nil {
		return nil, err
	}
	platforms := onLinux(r.platforms)
	if len(platforms) == 0 {
		return nil, errors.New("-platforms: images are for Linux; name linux/amd64 or linux/arm64")
	}
	if err := recreate(filepath.Join(r.dist, "images")); err != nil {
		return nil, err
	}
	list := &imageList{Version: r.version, Revision: r.revision}
	var all []image.Built
	for _, p := range programs {
		if p.image == "" {
			continue
		}
		built, record, err := r.image(ctx, p, platforms, base)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.image, err)
		}
		all, list.Images = append(all, built), append(list.Images, record)
		fmt.Printf("%s:%s@%s\n", record.Name, record.Tag, record.Digest)
	}
	fmt.Fprintln(os.Stderr, "writing", filepath.Join(r.dist, "images", "oci"))
	if err := image.WriteLayout(filepath.Join(r.dist, "images", "oci"), all); err != nil {
		return nil, err
	}
	if push != "" {
		for i, built := range all {
			if list.Images[i].Pushed, err = image.Push(ctx, push, built); err != nil {
				return nil, err
			}
			fmt.Println("pushed", list.Images[i].Pushed)
		}
	}
	return list, writeJSON(filepath.Join(r.dist, "images.json"), list)
}

// image builds an image for all platforms.
func (r *release) image(ctx context.Context, p program, platforms []platform, base []image.File) (image.Built, imageRecord, error) {
	built := image.Built{Name: p.image, Tag: r.version}
	record := imageRecord{Name: p.image, Tag: r.version}
	for _, target := range platforms {
		img, one, err := r.platformImage(ctx, p, target, base)
		if err != nil {
			return built, record, err
		}
		document, err := os.ReadFile(filepath.Join(r.dist, one.SBOM))
		if err != nil {
			return built, record, err
		}
		attachment, err := image.Attachment(document, sbom.MediaType, img, map[string]string{
			"org.opencontainers.image.created": r.created.Format(time.RFC3339),
			"org.opencontainers.image.title":   filepath.Base(one.SBOM),
		})
		if err != nil {
			return built, record, err
		}
		built.Images, built.Attachments = append(built.Images, img), append(built.Attachments, attachment)
		record.Platforms = append(record.Platforms, one)
	}
	var err error
	if built.Index, err = image.Index(built.Images, r.labels(p)); err != nil {
		return built, record, err
	}
	digest, err := built.Index.Digest()
	record.Digest = digest.String()
	return built, record, err
}

// platformImage builds the image of a program for a platform, its archive and the list of what it consists of.
func (r *release) platformImage(ctx context.Context, p program, target platform, base []image.File) (v1.Image, platformRecord, error) {
	file := p.name + "-" + target.in("-")
	record := platformRecord{
		Platform: target.String(),
		Archive:  filepath.Join("images", file+".tar"), SBOM: filepath.Join("images", file+".spdx.json"),
	}
	path, err := r.compile(ctx, p, target)
	if err != nil {
		return nil, record, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, record, err
	}
	img, err := image.Build(image.Spec{
		Program:  image.File{Path: p.name, Content: content, Executable: true},
		Base:     base,
		Platform: v1.Platform{OS: target.os, Architecture: target.arch},
		Labels:   r.labels(p), Created: r.created,
	})
	if err != nil {
		return nil, record, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, record, err
	}
	record.Digest = digest.String()
	// The archive replaces an image of the same name. latest is what config/default names.
	if err := image.WriteArchive(filepath.Join(r.dist, record.Archive), img, p.image+":"+r.version, p.image+":latest"); err != nil {
		return nil, record, err
	}
	document, err := sbom.Write(r.contents(p, target), &sbom.Container{Name: p.image, Digest: record.Digest, Roots: roots})
	if err != nil {
		return nil, record, err
	}
	return img, record, os.WriteFile(filepath.Join(r.dist, record.SBOM), document, 0o644) //nolint:gosec // it is for everybody to read
}

// contents says what a program consists of.
func (r *release) contents(p program, target platform) sbom.Program {
	return sbom.Program{
		Name: p.name, Path: r.binary(p, target), Source: p.source, Platform: target.String(),
		Version: r.version, Revision: r.revision, Created: r.created, Licenses: r.licenses,
	}
}

// labels are those that the OCI specification has names for.
func (r *release) labels(p program) map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       p.title,
		prefix + "description": p.description,
		prefix + "source":      source,
		prefix + "url":         source,
		prefix + "version":     r.version,
		prefix + "revision":    r.revision,
		prefix + "created":     r.created.Format(time.RFC3339),
		prefix + "licenses":    license,
		prefix + "vendor":      "Keyward",
	}
}

func (r *release) baseFiles() ([]image.File, error) {
	return image.BaseFiles(roots.Version, filepath.Join(r.root, "LICENSE"), filepath.Join(r.root, "NOTICE"))
}

// files writes the files of each image into dist/files/ARCHITECTURE/PROGRAM, from where the Dockerfile copies them.
func (r *release) files(ctx context.Context) error {
	base, err := r.baseFiles()
	if err != nil {
		return err
	}
	if err := recreate(filepath.Join(r.dist, "files")); err != nil {
		return err
	}
	for _, target := range onLinux(r.platforms) {
		for _, p := range programs {
			if p.image == "" {
				continue
			}
			path, err := r.compile(ctx, p, target)
			if err != nil {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all := append([]image.File{{Path: p.name, Content: content, Executable: true}}, base...)
			if err := image.WriteFiles(filepath.Join(r.dist, "files", target.arch, p.name), all); err != nil {
				return err
			}
		}
	}
	return nil
}

// recreate makes a directory empty, so that nothing of an earlier version is in it.
func recreate(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // it is for everybody to read
}
