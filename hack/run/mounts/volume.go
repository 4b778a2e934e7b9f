// Package mounts plays the part of the kubelet for programs that run outside Pods: it keeps ServiceAccount
// tokens and the content of Secrets in files, as the volumes of their Pods would.
package mounts

import (
	"fmt"
	"os"
	"path/filepath"
)

// current is the link that is switched to new content, named as the kubelet names it.
const current = "..data"

// writeVolume replaces the files of a volume in one step, as the kubelet does: each file is a link through
// ..data, which is switched from one directory to the next. A reader sees the certificate and the key of
// one moment, and one that watches the directory sees one change.
func writeVolume(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create a volume: %w", err)
	}
	last, err := os.Readlink(filepath.Join(dir, current))
	if err != nil {
		last = "" // the first content
	}
	next, err := os.MkdirTemp(dir, "..content-*")
	if err != nil {
		return fmt.Errorf("create a volume: %w", err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(next, name), data, 0o600); err != nil {
			return fmt.Errorf("write a volume: %w", err)
		}
	}
	if err := link(filepath.Base(next), filepath.Join(dir, current)); err != nil {
		return err
	}
	for name := range files {
		if err := link(filepath.Join(current, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if last != "" {
		if err := os.RemoveAll(filepath.Join(dir, filepath.Base(last))); err != nil {
			return fmt.Errorf("remove old content of a volume: %w", err)
		}
	}
	return nil
}

// link makes path a symbolic link to target, replacing what is there.
func link(target, path string) error {
	if found, err := os.Readlink(path); err == nil && found == target {
		return nil
	}
	next := path + ".next"
	if err := os.Remove(next); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("write a volume: %w", err)
	}
	if err := os.Symlink(target, next); err != nil {
		return fmt.Errorf("write a volume: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write a volume: %w", err)
	}
	return nil
}
