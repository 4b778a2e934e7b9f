package main

import (
	"fmt"
	"testing"
)

func TestFinder(t *testing.T) {
	f := newFinder("devcluster is ready:")
	for _, output := range []string{"not devcluster is ready:\n", "devcluster is", " ready: at"} {
		_, _ = f.Write([]byte(output))
		if f.check(t.Context()) == nil {
			t.Errorf("found before the line was complete, at %q", output)
		}
	}
	_, _ = fmt.Fprintln(f, " last\nmore")
	if err := f.check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestQuote(t *testing.T) {
	for path, want := range map[string]string{
		"/src/keyward/bin": "/src/keyward/bin",
		"/my src/keyward":  "'/my src/keyward'",
		"/it's/$HOME":      `'/it'\''s/$HOME'`,
	} {
		if got := quote(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
