package docs

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/test/reader"
)

// notFollowed are pages whose commands nobody reads from top to bottom, and why.
var notFollowed = map[string]string{
	"docs/architecture.md":    "it shows the tree of packages",
	"docs/kubectl-keyward.md": "cmd/kubectl-keyward/plugin has a test for each verb, with the output that the page shows",
	"docs/lifecycle.md":       "test/e2e applies its samples, and has a test for each section",
	"docs/performance.md":     "its commands measure for half an hour",
	"docs/tiers.md":           "test/e2e has a test for each limit",
	"docs/api.md":             "it shows objects, and the requests of test/conformance",
	"docs/runbooks.md":        "its commands look at a fault that has to be there",
}

// TestCommandsAreRun: each block of commands is run by a test that reads its page, or says why it is not.
func TestCommandsAreRun(t *testing.T) {
	read := maps.Clone(reader.Pages)
	blocks := 0
	for _, name := range files(t, ".md") {
		name = filepath.ToSlash(name)
		if !strings.HasPrefix(name, "docs/") || strings.HasPrefix(name, "docs/design/") || notFollowed[name] != "" {
			continue
		}
		page, err := reader.Load(root, name)
		if err != nil {
			t.Error(err)
			continue
		}
		by := read[name]
		delete(read, name)
		run := 0
		for _, b := range page.Blocks {
			if b.Kind != reader.Commands {
				continue
			}
			blocks++
			if b.NotTested == "" {
				run++
			}
			if b.NotTested == "" && by == "" {
				t.Errorf("%s:%d: no test runs this, and nothing says why: add the page to reader.Pages, or <!-- not tested: reason -->", name, b.Line)
			}
		}
		if by == "" {
			continue
		}
		if run == 0 {
			t.Errorf("%s has no commands for %s", name, by)
		}
		dir, test, _ := strings.Cut(by, ": ")
		if !readsPage(t, dir, test, name) {
			t.Errorf("%s has no test %s that reads %s", dir, test, name)
		}
	}
	for name := range read {
		t.Errorf("reader.Pages has %s, which is no page, or is excepted", name)
	}
	if blocks < 60 {
		t.Errorf("only %d blocks of commands were found", blocks)
	}
}

// readsPage reports whether a package has a test, and names the page in the same file.
func readsPage(t *testing.T, dir, test, page string) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(names, func(name string) bool {
		text, err := os.ReadFile(name)
		return err == nil && strings.Contains(string(text), "func "+test+"(") && strings.Contains(string(text), `"`+page+`"`)
	})
}
