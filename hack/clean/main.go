// Command clean removes the directory in which make run keeps its data, unless a make run is using it. It needs no flock(1), which
// not every machine has.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// locks are what a running cluster has locked, below the directory.
var locks = []string{"cluster/lock", "node/lock"}

var errInUse = errors.New("make run is using this data: end it with Ctrl-C first")

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: clean DIRECTORY")
		os.Exit(2)
	}
	if err := clean(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// clean holds the locks until everything is removed, so that no cluster starts meanwhile.
func clean(dir string) error {
	for _, name := range locks {
		file, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return errInUse
		}
		if err != nil {
			return fmt.Errorf("locking %s: %w", file.Name(), err)
		}
	}
	return os.RemoveAll(dir)
}
