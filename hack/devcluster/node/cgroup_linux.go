package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	cgroups = "/sys/fs/cgroup"
	// cleanTimeout is enough for the kernel to end the processes of a node.
	cleanTimeout = 30 * time.Second
	cleanPoll    = 50 * time.Millisecond
)

// Clean waits until alive is closed, that is until the process that holds its other end is gone, and removes the cgroup with all
// below it. Cgroups are the only trace of a node that does not vanish with its last process.
func Clean(alive io.Reader, cgroup string) error {
	_, _ = io.Copy(io.Discard, alive)
	deadline := time.Now().Add(cleanTimeout)
	for !removeCgroup(cgroup) {
		if time.Now().After(deadline) {
			return fmt.Errorf("processes in cgroup %s have not ended in %s", cgroup, cleanTimeout)
		}
		time.Sleep(cleanPoll)
	}
	return nil
}

// hierarchies are where a cgroup has to exist: once for each controller, or once for all with version 2.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		return []string{cgroups}, nil
	}
	entries, err := os.ReadDir(cgroups)
	if err != nil {
		return nil, fmt.Errorf("this needs cgroups: %w", err)
	}
	var found []string
	for _, entry := range entries {
		dir := filepath.Join(cgroups, entry.Name())
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); entry.IsDir() && err == nil {
			found = append(found, dir)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("this needs cgroups: there are none in " + cgroups)
	}
	return found, nil
}

// makeCgroup makes the cgroup below which the kubelet keeps its own, so that nodes do not get in each other's way.
func makeCgroup(name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	removeCgroup(name) // what a node left whose janitor was killed, too
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return fmt.Errorf("make a cgroup: %w", err)
		}
		// Without these, nothing can run in a cgroup of version 1.
		for _, set := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(dir, set))
			if err != nil {
				continue // another controller
			}
			if err := os.WriteFile(filepath.Join(dir, name, set), value, 0o644); err != nil {
				return fmt.Errorf("make a cgroup: %w", err)
			}
		}
	}
	return enableControllers(dirs[0], name)
}

// enableControllers lets children have the controllers of a version 2 hierarchy.
func enableControllers(dir, name string) error {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil //nolint:nilerr // version 1
	}
	for _, parent := range []string{dir, filepath.Join(dir, name)} {
		for _, controller := range strings.Fields(string(controllers)) {
			err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("enable the %s controller for cgroups: %w", controller, err)
			}
		}
	}
	return nil
}

// KillAll kills all processes in a cgroup and below it.
func KillAll(name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	return filepath.WalkDir(filepath.Join(dirs[0], name), func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || filepath.Base(path) != "cgroup.procs" {
			return err
		}
		processes, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, syscall.ENODEV) { // it has just been removed
			return err
		}
		for _, process := range strings.Fields(string(processes)) {
			if pid, err := strconv.Atoi(process); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have just ended
			}
		}
		return nil
	})
}

// removeCgroup removes a cgroup and reports whether it is gone. It cannot be removed while processes are in it.
func removeCgroup(name string) bool {
	dirs, err := hierarchies()
	if err != nil {
		return true
	}
	gone := true
	for _, dir := range dirs {
		gone = removeTree(filepath.Join(dir, name)) && gone
	}
	return gone
}

// removeTree removes directories from the bottom; the files of a cgroup cannot and need not be removed.
func removeTree(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			removeTree(filepath.Join(dir, entry.Name()))
		}
	}
	err = os.Remove(dir)
	return err == nil || errors.Is(err, fs.ErrNotExist)
}
