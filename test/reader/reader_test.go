package reader

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sample = "# Page\n\nText.\n\n    echo one\n    echo two\n\nprints\n\n```\none\ntwo\n```\n\n## Other\n\n" +
	"- an item\n  with more\n\n    of its text\n\nText.\n\n<!-- file: a.yaml -->\n\n```yaml\na: 1\n```\n\n<!-- fails -->\n\n```sh\nfalse\n```\n\n" +
	"<!-- prints: nothing -->\n<!-- not tested: it is a bomb -->\n\n    :(){ :|:& };:\n\n```yaml\nlook: at me\n```\n\n<!-- example -->\n\n```json\n{}\n```\n" +
	"\n<!-- stays until: ready -->\n\n    sleep 1d\n"

func TestParse(t *testing.T) {
	blocks, err := Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Line: 5, Section: "Page", Kind: Commands, Text: "echo one\necho two\n"},
		{Line: 11, Section: "Page", Kind: Output, Text: "one\ntwo\n"},
		{Line: 27, Section: "Other", Kind: File, Name: "a.yaml", Text: "a: 1\n"},
		{Line: 33, Section: "Other", Kind: Commands, Fails: true, Text: "false\n"},
		{Line: 39, Section: "Other", Kind: Commands, NotTested: "it is a bomb", Text: ":(){ :|:& };:\n"},
		{Line: 42, Section: "Other", Kind: Other, Text: "look: at me\n"},
		{Line: 48, Section: "Other", Kind: Other, Example: true, Text: "{}\n"},
		{Line: 53, Section: "Other", Kind: Commands, StaysUntil: "ready", Text: "sleep 1d\n"},
	}
	if len(blocks) != len(want) {
		t.Fatalf("%d blocks, want %d", len(blocks), len(want))
	}
	for i, b := range blocks {
		got := *b
		got.Prints = nil
		if got.Line != want[i].Line || got.Text != want[i].Text || got.Kind != want[i].Kind || got.Section != want[i].Section ||
			got.NotTested != want[i].NotTested || got.Name != want[i].Name || got.Fails != want[i].Fails || got.StaysUntil != want[i].StaysUntil ||
			got.Example != want[i].Example {
			t.Errorf("block %d is %+v, want %+v", i, got, want[i])
		}
	}
	if prints := blocks[3].Prints; len(prints) != 1 || prints[0] != "nothing" {
		t.Errorf("the commands print %q", prints)
	}
	if direct, err := Parse("<!-- not tested: why -->\n    false\n"); err != nil || len(direct) != 1 || direct[0].NotTested != "why" {
		t.Errorf("%v, %v", direct, err)
	}
	for _, wrong := range []string{"<!-- not tested -->\n", "<!-- fails: surely -->\n", "<!-- not tested: why -->\n\nText.\n\n    false\n", "<!-- prints: this -->\n", "```sh\nfalse\n"} {
		if _, err := Parse(wrong); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}

func TestMissing(t *testing.T) {
	for _, test := range []struct {
		name, shown, printed string
		missing              bool
	}{
		{"columns and times", "NAME  AGE\nweb   14s\n", "NAME      AGE\nweb       2m3s\n", false},
		{"what is random", "web acme_…Dskg da44d41e2ad84c8e 2027-02-19T21:15:17Z\n", "web acme_…1x9f 0011223344556677 2026-11-26T00:00:00Z\n", false},
		{"lines between", "one\nthree\n", "one\ntwo\nthree\n", false},
		{"another order", "two\none\n", "one\ntwo\n", true},
		{"another word", "Active\n", "Suspended\n", true},
		{"a line less", "one\ntwo\n", "one\n", true},
		{"JSON in other lines", "{\"a\": 1,\n \"b\": \"x y\"}\n", "{\"a\":1,\"b\":\"x y\"}\n", false},
		{"another JSON", "{\"a\": 1}\n", "{\"a\":2}\n", true},
	} {
		if err := Missing(test.shown, test.printed); (err != nil) != test.missing {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestShell: commands share a shell, what they change ends with it, and so do their processes.
func TestShell(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("in namespaces", func(t *testing.T) {
		s := Start(t, Setup{Root: root, PrivateNetwork: true, Patience: time.Minute})
		s.Must("X=5\nsleep 1d &\ntouch made-by-a-reader")
		if got := s.Must("echo $X; ls made-by-a-reader; ls /sys/class/net /proc/self/fd/0 >/dev/null && ip -o link | wc -l"); got != "5\nmade-by-a-reader\n1\n" {
			t.Errorf("it printed %q", got)
		}
		if result, err := s.Do("false"); result.Status != 1 || err != nil {
			t.Errorf("a command that fails has the status %d, %v", result.Status, err)
		}
		result, err := s.Do("set -e\necho before\nfalse\necho after")
		if err == nil || strings.TrimSpace(result.Printed) != "before" {
			t.Errorf("a failed command did not end the shell: %v, it printed %q", err, result.Printed)
		}
	})
	if found, err := filepath.Glob(filepath.Join(root, "made-by-a-reader")); err != nil || len(found) > 0 {
		t.Errorf("the repository has changed: %v, %v", found, err)
	}
}
