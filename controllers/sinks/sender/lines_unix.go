//go:build unix

package sender

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// nonBlocking opens a pipe that nobody reads without waiting.
const nonBlocking = syscall.O_NONBLOCK

// lock locks a file until it is closed, unless another process has.
func lock(opened *os.File) error {
	return syscall.Flock(int(opened.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// syncDir persists the names in the directory of a file.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path)) //nolint:gosec // the operator says which file
	if err != nil {
		return fmt.Errorf("opening the directory of the file of events: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("persisting the directory of the file of events: %w", err)
	}
	return nil
}
