package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/httpapi"
)

const root = "../.."

// described returns the codes that a page has sections for: each of them becomes a page of the site.
func described(t *testing.T, name string) (codes []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, heading := range regexp.MustCompile("(?m)^### `([a-z_]+)`$").FindAllStringSubmatch(string(text), -1) {
		codes = append(codes, heading[1])
	}
	return codes
}

// TestEveryProblemHasItsPage compares the sections of the two pages with the codes in the code and in the configurations of gateways.
func TestEveryProblemHasItsPage(t *testing.T) {
	codes, err := Codes(root)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := Addresses(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if code, is := strings.CutPrefix(a, base+problems); is && !slices.Contains(codes, code) {
			codes = append(codes, code) // of a gateway
		}
	}
	slices.Sort(codes)
	if len(codes) < 45 || !slices.Contains(codes, "origin_denied") || !slices.Contains(codes, "upstream_timeout") || !slices.Contains(codes, "validator_away") {
		t.Fatalf("not all codes were found: %v", codes)
	}
	pages := append(described(t, "docs/decision-codes.md"), described(t, "docs/problems.md")...)
	slices.Sort(pages)
	for _, code := range codes {
		if !slices.Contains(pages, code) {
			t.Errorf("%s has no section in docs/decision-codes.md or docs/problems.md", code)
		}
	}
	for i, code := range pages {
		if !slices.Contains(codes, code) {
			t.Errorf("a section describes %s, which nothing answers", code)
		}
		if i > 0 && pages[i-1] == code {
			t.Errorf("%s is described twice", code)
		}
	}
}

// TestTypeOfProblems: what clients read leads to where the pages are.
func TestTypeOfProblems(t *testing.T) {
	if got := httpapi.NewProblem(400, "some_code", "", "").Type; got != base+problems+"some_code" {
		t.Errorf("the type is %s, and the pages are below %s", got, base+problems)
	}
	config, err := os.ReadFile("hugo.toml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(config), `baseURL = "`+base+`"`) {
		t.Error("hugo.toml has another base")
	}
}

// TestEveryPageIsListed: docs/README.md, from which the navigation is made, lists all pages but design records.
func TestEveryPageIsListed(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(root, "docs/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for _, pattern := range []string{"docs/*.md", "docs/how-to/*.md", "docs/reference/*.md", "docs/gateways/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			name, _ = strings.CutPrefix(filepath.ToSlash(name), root+"/docs/")
			if pages++; name != "README.md" && !strings.Contains(string(index), "]("+name+")") {
				t.Errorf("docs/README.md does not list %s", name)
			}
		}
	}
	if pages < 30 {
		t.Errorf("only %d pages were found", pages)
	}
}

const sound = `<html lang="en"><body><nav></nav><main><h1 id="top">Page</h1><a href="/other/#here">other</a> <a href="#top">top</a>
<a href="https://example.com/x">elsewhere</a></main></body></html>`

func TestCheck(t *testing.T) {
	other := strings.ReplaceAll(sound, `id="top"`, `id="here"`)
	other = strings.ReplaceAll(other, "#top", "#here")
	for _, test := range []struct{ name, from, to, want string }{
		{name: "nothing"},
		{"a link to no page", "/other/#here", "/another/", "leads to no page"},
		{"a link to no anchor", "/other/#here", "/other/#there", "leads to no anchor"},
		{"an anchor of its own", "#top", "#bottom", "leads to no anchor"},
		{"a relative link", "/other/#here", "other.md", "relative"},
		{"a doubled anchor", `<a href="#top">`, `<a id="top" href="#top">`, "2 elements"},
		{"a foreign script", "</main>", `</main><script src="https://example.com/x.js"></script>`, "would request"},
		{"a missing picture", "</main>", `<img src="/x.png"></main>`, "would request"},
		{"no heading", "h1", "p", "one h1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "other"), 0o700); err != nil {
				t.Fatal(err)
			}
			text := sound
			if test.from != "" {
				text = strings.ReplaceAll(sound, test.from, test.to)
			}
			for name, text := range map[string]string{"index.html": text, "other/index.html": other} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			site, err := Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			faults := site.Check([]string{base + "other", base + "other/#here"})
			if (test.want == "") != (len(faults) == 0) || len(faults) > 0 && !strings.Contains(faults[0].Error(), test.want) {
				t.Errorf("%v, want %q", faults, test.want)
			}
			if test.want == "" && len(site.Check([]string{base + "nowhere"})) != 1 {
				t.Error("an address without a page was not noticed")
			}
		})
	}
}
