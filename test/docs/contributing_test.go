package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	inCode      = regexp.MustCompile("`([^`]+)`")
	placeholder = regexp.MustCompile(`<[a-z]+>`)
)

// section returns the text below a heading of the second level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, after, found := strings.Cut(page, "\n## "+heading+"\n")
	if !found {
		t.Fatalf("there is no section %q", heading)
	}
	text, _, _ := strings.Cut(after, "\n## ")
	return text
}

// rows returns the rows of the first table in a text, without its head.
func rows(text string) (rows [][]string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "|") {
			rows = append(rows, strings.Split(strings.Trim(line, "| "), " | "))
		} else if len(rows) > 0 {
			break
		}
	}
	return rows[min(2, len(rows)):]
}

func exists(path string) bool {
	_, err := os.Stat(filepath.Join(root, path))
	return err == nil
}

// TestTenChanges checks that each typical change names at most five files, and only files that exist. A name such as <name>.go stands for
// a file in a directory that exists. What follows a semicolon is another case, and does not count.
func TestTenChanges(t *testing.T) {
	changes := rows(section(t, readPage(t, "CONTRIBUTING.md"), "Ten typical changes"))
	if len(changes) != 10 {
		t.Errorf("%d changes, want 10", len(changes))
	}
	for _, change := range changes {
		for _, found := range inCode.FindAllStringSubmatch(change[1], -1) {
			path := found[1]
			for placeholder.MatchString(path) {
				path = filepath.Dir(path)
			}
			if strings.Contains(path, "/") && !exists(path) {
				t.Errorf("%s: there is no %s", change[0], found[1])
			}
		}
		usual, _, _ := strings.Cut(change[1], ";")
		if named := len(inCode.FindAllString(usual, -1)); named == 0 || named > 5 {
			t.Errorf("%s: %d files are named, want 1 to 5", change[0], named)
		}
	}
}

// TestLayoutNamesPackages checks that the table of packages names directories that exist. In a row, a name without a slash is a sibling or
// a child of the first directory.
func TestLayoutNamesPackages(t *testing.T) {
	for _, row := range rows(section(t, readPage(t, "CONTRIBUTING.md"), "Layout")) {
		first := ""
		for _, found := range inCode.FindAllStringSubmatch(row[0], -1) {
			path := found[1]
			if first == "" {
				first = path
			}
			if !exists(path) && !exists(filepath.Join(filepath.Dir(first), path)) {
				t.Errorf("the layout names %s, which does not exist", path)
			}
		}
	}
}
