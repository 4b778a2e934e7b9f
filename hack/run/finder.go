package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// finder is a writer that looks for a line that starts with a text.
type finder struct {
	prefix []byte

	mu    sync.Mutex
	line  []byte
	found bool
}

func newFinder(prefix string) *finder { return &finder{prefix: []byte(prefix)} }

// Write searches further output.
func (f *finder) Write(output []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range output {
		if c == '\n' {
			f.found = f.found || bytes.HasPrefix(f.line, f.prefix)
			f.line = f.line[:0]
			continue
		}
		f.line = append(f.line, c)
	}
	return len(output), nil
}

// check succeeds once the line was written.
func (f *finder) check(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.found {
		return fmt.Errorf("it has not said %q yet", f.prefix)
	}
	return nil
}
