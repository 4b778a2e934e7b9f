package processes

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEndIsReported(t *testing.T) {
	failed := make(chan error, 1)
	group := NewGroup(t.TempDir(), func(err error) { failed <- err })
	var output bytes.Buffer
	err := group.Start(Program{Name: "program", Command: []string{"sh", "-c", "echo last words; exit 3"}, Output: &output, Grace: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	text := (<-failed).Error()
	if !strings.HasPrefix(text, "program ended unexpectedly: exit status 3; the end of ") || !strings.HasSuffix(text, ":\n  last words") {
		t.Errorf("got %q", text)
	}
	if output.String() != "last words\n" {
		t.Errorf("output: %q", output.String())
	}
}

func TestStopIsInReverseOrder(t *testing.T) {
	group := NewGroup(t.TempDir(), func(err error) { t.Errorf("stopped, but reported: %v", err) })
	for _, name := range []string{"first", "second", "third"} {
		if err := group.Start(Program{Name: name, Command: []string{"sleep", "60"}, Grace: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	var stopped []string
	group.Stop(func(name string) { stopped = append(stopped, name) })
	if !slices.Equal(stopped, []string{"third", "second", "first"}) {
		t.Errorf("got %q", stopped)
	}
}

// TestStubbornProgramIsKilled uses a program that ignores SIGTERM.
func TestStubbornProgramIsKilled(t *testing.T) {
	group := NewGroup(t.TempDir(), func(err error) { t.Errorf("stopped, but reported: %v", err) })
	ready := make(signal, 1)
	err := group.Start(Program{Name: "stubborn",
		Command: []string{"sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"}, Output: ready, Grace: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	<-ready
	group.Stop(func(string) {})
}

// signal is closed when something was written.
type signal chan struct{}

func (s signal) Write(output []byte) (int, error) {
	s <- struct{}{}
	return len(output), nil
}
