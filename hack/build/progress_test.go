package main

import (
	"strings"
	"testing"
	"time"
)

// TestProgress follows a build from its first download to its end, where there is no terminal.
func TestProgress(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	p := newProgress(&out, "x", func() time.Time { return now })
	says := func(want string) {
		t.Helper()
		if got := out.String(); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		out.Reset()
	}

	p.fetch("m/one v1.0.0")
	says("") // not yet
	now = now.Add(interval)
	p.fetch("m/two v1.0.0")
	says("x: 2 modules fetched, in 0m10s; now m/two v1.0.0\n")
	now = now.Add(interval / 2)
	p.fetch("m/three v1.0.0")
	says("") // not again so soon

	p.compile("a")
	now = now.Add(interval)
	p.compile("b")
	says("x: 1 packages compiled, in 0m25s; now b\n")

	// a was in the cache when it was counted, cached was there all the time.
	p.expect(map[string]int64{"a": 0, "b": 2, "c": 4, "d": 94, "cached": 0})
	now = now.Add(interval)
	p.compile("main")
	says("x: 2 of 5 packages compiled, in 0m35s; now main\n") // too little to estimate the rest
	now = now.Add(interval)
	p.compile("c") // 6 of 100 in 30 s: 470 s for the rest
	says("x: 3 of 5 packages compiled, in 0m45s, about 8 min left; now c\n")
	now = now.Add(8 * time.Minute)
	p.compile("d")
	says("x: 4 of 5 packages compiled, in 8m45s, about 10 s left; now d\n")
	p.finish()
	says("x: built; 5 packages were compiled, in 8m45s\n")
}

// TestNothingToDo: a build of seconds says nothing.
func TestNothingToDo(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	p := newProgress(&out, "x", func() time.Time { return now })
	p.compile("main")
	now = now.Add(interval - 1)
	p.finish()
	if out.Len() > 0 {
		t.Errorf("it says %q", out.String())
	}
}

// TestTerminal: a line replaces the one before, and makes room for an error.
func TestTerminal(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out, "x", func() time.Time { return time.Unix(0, 0) })
	p.terminal = true
	p.compile("a")
	p.compile("b")
	p.clear()
	const line = "\r\x1b[K\x1b[?7lx: "
	if want := line + "0 packages compiled, in 0m00s; now a\x1b[?7h" + line + "1 packages compiled, in 0m00s; now b\x1b[?7h\r\x1b[K"; out.String() != want {
		t.Errorf("it writes %q, want %q", out.String(), want)
	}
}
