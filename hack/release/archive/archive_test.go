package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var modified = time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)

// entry is what a reader of an archive sees of a file.
type entry struct {
	Name, Content string
	Mode          os.FileMode
	Modified      time.Time
}

var want = []entry{
	{"program", "machine code", 0o755, modified},
	{"LICENSE", "Apache", 0o644, modified},
}

// write writes the archive from files of another time and mode.
func write(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	var files []File
	for _, e := range want {
		path := filepath.Join(dir, e.Name)
		if err := os.WriteFile(path, []byte(e.Content), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, File{Name: e.Name, Path: path, Executable: e.Mode&0o100 != 0})
	}
	path := filepath.Join(dir, name)
	if err := Write(path, modified, files); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTar(t *testing.T) {
	file, err := os.Open(write(t, "a.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []entry
	for in := tar.NewReader(unpacked); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname+header.Gname != "" {
			t.Errorf("%s has an owner", header.Name)
		}
		got = append(got, entry{header.Name, string(content), header.FileInfo().Mode(), header.ModTime.UTC()})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestZip(t *testing.T) {
	in, err := zip.OpenReader(write(t, "a.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	var got []entry
	for _, f := range in.File {
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, entry{f.Name, string(text), f.Mode(), f.Modified.UTC()})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSameBytes(t *testing.T) {
	for _, name := range []string{"a.tar.gz", "a.tgz", "a.zip"} {
		var written [2][]byte
		for i := range written {
			var err error
			if written[i], err = os.ReadFile(write(t, name)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(written[0], written[1]) {
			t.Errorf("%s: the archives differ", name)
		}
	}
}

func TestUnknownKind(t *testing.T) {
	if err := Write(filepath.Join(t.TempDir(), "a.rar"), modified, nil); err == nil || !strings.Contains(err.Error(), ".tar.gz") {
		t.Errorf("%v", err)
	}
}
