package sender_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
)

func newFile(t *testing.T, path string, rotateBytes int64, keep int) sinks.Sender {
	t.Helper()
	to, err := sender.New(&config.Sink{Type: config.File, Path: path, RotateBytes: rotateBytes, RotateKeep: keep},
		clocktesting.NewFakePassiveClock(time.Now()), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	return to
}

func numbered(from, to int) (records []sinks.Record) {
	for n := from; n <= to; n++ {
		records = append(records, sinks.Record{Body: fmt.Appendf(nil, `{"n":%d}`, n)})
	}
	return records
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFileCutsOffHalfALine: a crash may leave any part of what was written last. What is sent again is in the file once, whole.
func TestFileCutsOffHalfALine(t *testing.T) {
	whole := "{\"n\":1}\n{\"n\":2}\n"
	next := "{\"n\":3}\n{\"n\":4}\n"
	for cut := range len(next) {
		path := filepath.Join(t.TempDir(), "events.jsonl")
		if err := os.WriteFile(path, []byte(whole+next[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := newFile(t, path, 1<<20, 1).Send(t.Context(), numbered(3, 4)); err != nil {
			t.Fatal(err)
		}
		text := read(t, path)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		// A whole line of the batch may stay, and is there twice then: at least once.
		if !strings.HasPrefix(text, whole) || !strings.HasSuffix(text, next) || len(slices.Compact(slices.Sorted(slices.Values(lines)))) != 4 {
			t.Errorf("after a crash at %d: %q", cut, text)
		}
	}
	// A line that is longer than what is read at a time, and a file that is one half of a line.
	for _, before := range []string{whole + strings.Repeat("x", 200_000), strings.Repeat("x", 200_000), ""} {
		path := filepath.Join(t.TempDir(), "events.jsonl")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := newFile(t, path, 1<<20, 1).Send(t.Context(), numbered(3, 4)); err != nil {
			t.Fatal(err)
		}
		if text := read(t, path); strings.TrimPrefix(text, whole) != next {
			t.Errorf("%.80q", text)
		}
	}
}

func TestFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	to := newFile(t, path, 20, 2) // two lines of eight bytes
	for n := 1; n <= 9; n++ {
		if _, err := to.Send(t.Context(), numbered(n, n)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"": "{\"n\":9}\n", ".1": "{\"n\":7}\n{\"n\":8}\n", ".2": "{\"n\":5}\n{\"n\":6}\n"} {
		if got := read(t, path+name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, err := os.Stat(path + ".3"); !os.IsNotExist(err) {
		t.Error(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	to.Close()
	none := newFile(t, path, 20, 0)
	if _, err := none.Send(t.Context(), numbered(1, 2)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "{\"n\":1}\n{\"n\":2}\n" || read(t, path+".1") != "{\"n\":7}\n{\"n\":8}\n" {
		t.Errorf("%q", got)
	}
}

func TestFileRefusesWhatIsNone(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, dir, filepath.Join(dir, "absent", "file"), "/dev/full"} {
		if _, err := newFile(t, path, 1<<20, 1).Send(t.Context(), numbered(1, 1)); reasonOf(t, err) != sinks.ReasonFile {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestFileHasOneWriter: an earlier leader with the same volume may not have ended.
func TestFileHasOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	first, second := newFile(t, path, 1<<20, 1), newFile(t, path, 1<<20, 1)
	if _, err := first.Send(t.Context(), numbered(1, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Send(t.Context(), numbered(2, 2)); reasonOf(t, err) != sinks.ReasonFile {
		t.Error(err)
	}
	first.Close()
	if _, err := second.Send(t.Context(), numbered(2, 2)); err != nil || read(t, path) != "{\"n\":1}\n{\"n\":2}\n" {
		t.Errorf("%v, %q", err, read(t, path))
	}
}
