package sender

import (
	"os"

	"golang.org/x/sys/windows"
)

// nonBlocking is nothing: pipes have paths of their own.
const nonBlocking = 0

// lock locks a file until it is closed, unless another process has.
func lock(opened *os.File) error {
	const all = ^uint32(0)
	return windows.LockFileEx(windows.Handle(opened.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, all, all,
		&windows.Overlapped{})
}

// syncDir does nothing: Windows persists the name of a file with the file.
func syncDir(string) error { return nil }
