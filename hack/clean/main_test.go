package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestClean: data that a cluster has locked stays, all of it; other data is removed.
func TestClean(t *testing.T) {
	for _, name := range locks {
		dir := filepath.Join(t.TempDir(), "with space", ".local")
		lock := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(lock), 0o700); err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(dir, "kubeconfig")
		if err := os.WriteFile(data, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(lock)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		if err := clean(dir); !errors.Is(err, errInUse) {
			t.Errorf("%s is locked: %v", name, err)
		}
		if _, err := os.Stat(data); err != nil {
			t.Errorf("%s is locked, and data is gone: %v", name, err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		if err := clean(dir); err != nil {
			t.Errorf("%s is not locked any more: %v", name, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
	}
	if err := clean(filepath.Join(t.TempDir(), "missing")); err != nil {
		t.Error(err)
	}
}
