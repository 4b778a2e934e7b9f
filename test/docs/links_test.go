package docs

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// skipped are directories that hold nothing of the repository's own.
var skipped = []string{".git", ".local", "bin", "dist", "node_modules"}

// files returns the paths, relative to the root, of all files of the repository with the given ending.
func files(t *testing.T, ending string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains(skipped, entry.Name()) {
			return filepath.SkipDir
		}
		if !entry.IsDir() && strings.HasSuffix(path, ending) {
			name, err := filepath.Rel(root, path)
			names = append(names, name)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

var (
	fence      = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$")
	inlineCode = regexp.MustCompile("``.+?``|`[^`]*`")
	title      = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`)
	anchorTag  = regexp.MustCompile(`<a id="([^"]+)">`)
	link       = regexp.MustCompile(`\[([^\][]*)\]\(([^()\s]+)\)`)
)

// page is what links of a Markdown file lead to, and what can be linked in it.
type page struct {
	links   []string
	anchors map[string]bool
}

func parsePage(text string) page {
	text = fence.ReplaceAllString(text, "")
	p := page{anchors: map[string]bool{}}
	for _, heading := range title.FindAllStringSubmatch(text, -1) {
		name := slug(heading[1])
		unique := name
		for i := 1; p.anchors[unique]; i++ {
			unique = fmt.Sprintf("%s-%d", name, i)
		}
		p.anchors[unique] = true
	}
	text = inlineCode.ReplaceAllString(text, "")
	for _, anchor := range anchorTag.FindAllStringSubmatch(text, -1) {
		p.anchors[anchor[1]] = true
	}
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		p.links = append(p.links, found[2])
	}
	return p
}

// slug is the anchor that GitHub gives to a heading.
func slug(heading string) string {
	heading = link.ReplaceAllString(heading, "$1")
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// TestLinks checks that every relative link in a Markdown file leads to a file that exists and to an anchor that it has, and that links lead
// from README.md to every page.
func TestLinks(t *testing.T) {
	pages := map[string]page{}
	for _, name := range files(t, ".md") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = parsePage(string(text))
	}
	checked := 0
	for name, p := range pages {
		for _, target := range p.links {
			u, err := url.Parse(target)
			if err != nil {
				t.Errorf("%s: %s: %v", name, target, err)
				continue
			}
			if u.IsAbs() {
				continue
			}
			checked++
			path := name
			if u.Path != "" {
				path = filepath.Join(filepath.Dir(name), u.Path)
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s: the link %s leads to no file", name, target)
			} else if linked, ok := pages[path]; ok && u.Fragment != "" && !linked.anchors[u.Fragment] {
				t.Errorf("%s: the link %s leads to no heading", name, target)
			}
		}
	}
	reached := map[string]bool{"README.md": true}
	for queue := []string{"README.md"}; len(queue) > 0; queue = queue[1:] {
		for _, target := range pages[queue[0]].links {
			path, _, _ := strings.Cut(target, "#")
			path = filepath.Join(filepath.Dir(queue[0]), path)
			if _, ok := pages[path]; ok && !reached[path] {
				reached[path] = true
				queue = append(queue, path)
			}
		}
	}
	for name := range pages {
		if !reached[name] {
			t.Errorf("no page that README.md leads to has a link to %s", name)
		}
	}
	if checked < 50 {
		t.Errorf("only %d links were found", checked)
	}
}

func TestAnchors(t *testing.T) {
	for heading, want := range map[string]string{
		"Who may do what":                         "who-may-do-what",
		"ApiKey: one consumer's right":            "apikey-one-consumers-right",
		"Is it in force?":                         "is-it-in-force",
		"`view` of a namespace":                   "view-of-a-namespace",
		"The [reverse proxy](operations.md#here)": "the-reverse-proxy",
	} {
		if got := slug(heading); got != want {
			t.Errorf("%q has the anchor %q, want %q", heading, got, want)
		}
	}
	p := parsePage("# Twice\n# Twice\n```\n# not a heading\n[not](a-link)\n```\n<a id=\"here\"></a>`[nor](this)` but\n[this\none](x.md#y)\n")
	if want := map[string]bool{"twice": true, "twice-1": true, "here": true}; len(p.anchors) != len(want) || !p.anchors["twice-1"] || !p.anchors["here"] {
		t.Errorf("anchors %v, want %v", p.anchors, want)
	}
	if want := []string{"x.md#y"}; !slices.Equal(p.links, want) {
		t.Errorf("links %v, want %v", p.links, want)
	}
}

// TestCodeNamesPages checks that every page that messages, comments and configuration refer to exists.
func TestCodeNamesPages(t *testing.T) {
	pageName := regexp.MustCompile(`\bdocs/[a-z0-9/-]{2,}\.md\b`)
	for _, ending := range []string{".go", ".yaml", "Makefile"} {
		for _, name := range files(t, ending) {
			text, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range pageName.FindAllString(string(text), -1) {
				if _, err := os.Stat(filepath.Join(root, found)); err != nil {
					t.Errorf("%s refers to %s, which does not exist", name, found)
				}
			}
		}
	}
}
