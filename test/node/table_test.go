package node

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what was measured into "+page)

const page = "docs/performance.md"

// row is what came of the loads while something happened.
type row struct {
	what     string
	took     time.Duration
	requests []int // of each load
	lost     int
	longest  time.Duration // between two responses of a load
}

// writeTable writes the rows into the page, if all tests passed that they are from.
func writeTable(t *testing.T, rows []row) {
	t.Helper()
	lines := []string{
		"| meanwhile | took | requests to validation servers, to sidecars | lost | longest time without a response |", "|---|---|---|---|---|",
	}
	for _, r := range rows {
		lines = append(lines, fmt.Sprintf("| %s | %.1f s | %s | %d | %d ms |", r.what, r.took.Seconds(),
			strings.Trim(strings.ReplaceAll(fmt.Sprint(r.requests), " ", ", "), "[]"), r.lost, r.longest.Milliseconds()))
	}
	write(t, "make test-node UPDATE=1", lines)
}

// write replaces the lines in the page that a command has written, with -update.
func write(t *testing.T, command string, lines []string) {
	t.Helper()
	t.Log("\n" + strings.Join(lines, "\n"))
	if !*update || t.Failed() {
		return
	}
	path := filepath.Join(root, page)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- written by: "+command+" -->\n", "<!-- end -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for it: %s … %s", page, begin, end)
	}
	result := before + begin + "\n" + strings.Join(lines, "\n") + "\n\n" + end + after
	if err := os.WriteFile(path, []byte(result), 0o644); err != nil { //nolint:gosec // a page is for everybody to read
		t.Fatal(err)
	}
}
