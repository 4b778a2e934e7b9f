package mounts

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWriteVolume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	for _, content := range []string{"first", "second"} {
		if err := writeVolume(dir, map[string][]byte{"tls.crt": []byte(content), "tls.key": []byte(content)}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"tls.crt", "tls.key"} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != content {
				t.Errorf("%s: %q, %v; want %q", name, got, err, content)
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Both files, the link that is switched, and one directory: the old content is gone.
	if len(entries) != 4 {
		t.Errorf("left: %v", entries)
	}
	if data, err := os.Readlink(filepath.Join(dir, current)); err != nil ||
		!slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == data }) {
		t.Errorf("%s leads to %q, %v", current, data, err)
	}
}
