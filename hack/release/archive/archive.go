// Package archive writes archives that depend only on the files in them.
package archive

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// File is a file of an archive.
type File struct {
	Name       string // in the archive
	Path       string // where it is; empty if Content has what is in it
	Content    []byte
	Executable bool
}

func (f File) content() ([]byte, error) {
	if f.Path == "" {
		return f.Content, nil
	}
	return os.ReadFile(f.Path)
}

func (f File) mode() os.FileMode {
	if f.Executable {
		return 0o755
	}
	return 0o644
}

// Write writes an archive of the kind that the end of its name says: .tar.gz, .tgz or .zip. All files get the time.
func Write(name string, modified time.Time, files []File) (err error) {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	switch {
	case path.Ext(name) == ".zip":
		return writeZip(out, modified, files)
	case path.Ext(name) == ".tgz", strings.HasSuffix(name, ".tar.gz"):
		return writeTar(out, modified, files)
	}
	return errors.New(name + ": the name must end in .tar.gz, .tgz or .zip")
}

func writeTar(to io.Writer, modified time.Time, files []File) (err error) {
	packed := gzip.NewWriter(to)
	defer func() { err = errors.Join(err, packed.Close()) }()
	out := tar.NewWriter(packed)
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, f := range files {
		content, err := f.content()
		if err != nil {
			return err
		}
		if err := out.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: f.Name, Mode: int64(f.mode()), Size: int64(len(content)), ModTime: modified, Format: tar.FormatUSTAR,
		}); err != nil {
			return err
		}
		if _, err := out.Write(content); err != nil {
			return err
		}
	}
	return nil
}

func writeZip(to io.Writer, modified time.Time, files []File) (err error) {
	out := zip.NewWriter(to)
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, f := range files {
		content, err := f.content()
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: modified.UTC()}
		header.SetMode(f.mode())
		file, err := out.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(content); err != nil {
			return err
		}
	}
	return nil
}
