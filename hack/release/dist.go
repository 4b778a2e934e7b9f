package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/keyward-dev/keyward/hack/release/archive"
	"github.com/keyward-dev/keyward/hack/release/sbom"
)

// everything builds all that is released into dist.
func (r *release) everything(ctx context.Context, push, downloads string) error {
	// What is compiled stays: the go command replaces what has changed.
	for _, old := range []string{"files", "sbom", "krew"} {
		if err := os.RemoveAll(filepath.Join(r.dist, old)); err != nil {
			return err
		}
	}
	if err := r.remove(archivePatterns()...); err != nil {
		return err
	}
	archives, err := r.archives(ctx)
	if err != nil {
		return err
	}
	list, err := r.images(ctx, push)
	if err != nil {
		return err
	}
	if err := r.writeInstall(list); err != nil {
		return fmt.Errorf("install.yaml: %w", err)
	}
	if err := r.writeKrew(archives, downloads); err != nil {
		return fmt.Errorf("the manifest for krew: %w", err)
	}
	if err := r.writeChart(list.Images); err != nil {
		return fmt.Errorf("the chart: %w", err)
	}
	if err := r.writeNotes(list); err != nil {
		return fmt.Errorf("release notes: %w", err)
	}
	return r.writeChecksums()
}

// chartPackages are the names of packages of the chart.
const chartPackages = "keyward-[0-9]*.tgz"

func archivePatterns() []string {
	patterns := []string{chartPackages}
	for _, p := range programs {
		patterns = append(patterns, p.name+"_v*.tar.gz", p.name+"_v*.zip")
	}
	return patterns
}

// remove removes archives of an earlier version, whose names are different.
func (r *release) remove(patterns ...string) error {
	for _, pattern := range patterns {
		old, err := filepath.Glob(filepath.Join(r.dist, pattern))
		if err != nil {
			return err
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// archived is an archive of a program.
type archived struct {
	program  program
	platform platform
	name     string // of the archive, in dist
	binary   string // the name of the program in the archive
	sum      string
}

// archives builds the programs, and writes an archive and a document about its contents for each.
func (r *release) archives(ctx context.Context) (all []archived, err error) {
	if err := os.MkdirAll(filepath.Join(r.dist, "sbom"), 0o755); err != nil {
		return nil, err
	}
	for _, p := range programs {
		for _, target := range r.platforms {
			path, err := r.compile(ctx, p, target)
			if err != nil {
				return nil, err
			}
			document, err := sbom.Write(r.contents(p, target), nil)
			if err != nil {
				return nil, err
			}
			a, err := r.archive(p, target, path)
			if err != nil {
				return nil, err
			}
			name := filepath.Join(r.dist, "sbom", r.fileName(p, target)+".spdx.json")
			if err := os.WriteFile(name, document, 0o644); err != nil { //nolint:gosec // for everybody
				return nil, err
			}
			fmt.Println(a.name)
			all = append(all, a)
		}
	}
	return all, nil
}

// fileName is the name of what is written for a program and a platform, without its ending.
func (r *release) fileName(p program, target platform) string {
	return p.name + "_" + r.version + "_" + target.in("_")
}

// archive writes the archive of a program that is in path.
func (r *release) archive(p program, target platform, path string) (a archived, err error) {
	a = archived{program: p, platform: target, binary: filepath.Base(path), name: r.fileName(p, target) + ".tar.gz"}
	if target.os == "windows" {
		a.name = r.fileName(p, target) + ".zip"
	}
	files := []archive.File{{Name: a.binary, Path: path, Executable: true}}
	for _, with := range p.with {
		files = append(files, archive.File{Name: filepath.Base(with), Path: filepath.Join(r.root, with), Executable: true})
	}
	for _, text := range []string{"LICENSE", "NOTICE"} {
		files = append(files, archive.File{Name: text, Path: filepath.Join(r.root, text)})
	}
	if err := archive.Write(filepath.Join(r.dist, a.name), r.created, files); err != nil {
		return a, err
	}
	a.sum, err = sumOf(filepath.Join(r.dist, a.name))
	return a, err
}

// checksums is the file that sha256sum -c reads, in dist.
const checksums = "SHA256SUMS"

// releasedFiles are the names of what people download, below dist. What else lies there, such as the site of the documentation, is not part
// of a release. Blobs of the OCI layout are named by their checksums.
func releasedFiles() []string {
	return append(archivePatterns(),
		"RELEASE_NOTES.md", "images.json", "install.yaml", "images/*.tar", "images/*.spdx.json", "krew/*.yaml", "sbom/*.spdx.json")
}

// writeChecksums writes the checksums of what people download.
func (r *release) writeChecksums() error {
	var names []string
	for _, pattern := range releasedFiles() {
		paths, err := filepath.Glob(filepath.Join(r.dist, filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		for _, path := range paths {
			name, err := filepath.Rel(r.dist, path)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(name))
		}
	}
	slices.Sort(names)
	var out bytes.Buffer
	for _, name := range names {
		sum, err := sumOf(filepath.Join(r.dist, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s  %s\n", sum, name)
	}
	return os.WriteFile(filepath.Join(r.dist, checksums), out.Bytes(), 0o644) //nolint:gosec // it is for everybody to read
}

func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}
