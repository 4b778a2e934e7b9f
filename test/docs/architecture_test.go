package docs

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module           = "github.com/keyward-dev/keyward/"
	architecturePath = "docs/architecture.md"
	arrowsBegin      = "  %% The arrows are written by: go test ./test/docs -run TestPackagePicture -update\n"
	arrowsEnd        = "  %% end of the arrows\n"
)

var update = flag.Bool("update", false, "write the arrows into "+architecturePath)

// source is one package of the repository, without its tests.
type source struct {
	imports  map[string]bool // directories of the repository
	exported map[string]bool // names of declarations, methods included
	isTest   bool            // it imports a test framework, so it is a helper of tests
}

// packages reads the packages that are shipped: neither tests and their helpers nor development tools.
func packages(t *testing.T) map[string]*source {
	t.Helper()
	found := map[string]*source{}
	for _, name := range files(t, ".go") {
		dir := filepath.ToSlash(filepath.Dir(name))
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(dir, "hack/") || strings.HasPrefix(dir, "test/") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if found[dir] == nil {
			found[dir] = &source{imports: map[string]bool{}, exported: map[string]bool{}}
		}
		found[dir].add(file)
	}
	for dir, s := range found {
		if s.isTest {
			maps.DeleteFunc(found, func(other string, _ *source) bool { return other == dir || strings.HasPrefix(other, dir+"/") })
		}
	}
	return found
}

func (s *source) add(file *ast.File) {
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if dir, ok := strings.CutPrefix(path, module); ok {
			s.imports[dir] = true
		}
		s.isTest = s.isTest || path == "testing" || strings.HasPrefix(path, "github.com/onsi/")
	}
	for _, declaration := range file.Decls {
		switch declaration := declaration.(type) {
		case *ast.FuncDecl:
			s.exported[declaration.Name.Name] = declaration.Name.IsExported()
		case *ast.GenDecl:
			for _, spec := range declaration.Specs {
				if spec, ok := spec.(*ast.TypeSpec); ok {
					s.exported[spec.Name.Name] = spec.Name.IsExported()
				}
			}
		}
	}
}

// picture is a Mermaid flowchart.
type picture struct {
	boxes  map[string]*box
	arrows []arrow
}

// box is a node or a subgraph.
type box struct {
	parent string
	parts  []string // lines of the label of a node, without the descriptions
}

type arrow struct{ from, label, to string }

func (a arrow) String() string { return fmt.Sprintf("%s --> %s", a.from, a.to) }

var (
	mermaid      = regexp.MustCompile("(?ms)^```mermaid\n(.*?)^```$")
	subgraphLine = regexp.MustCompile(`^subgraph (\w+)(?:\["[^"]*"\])?$`)
	nodeLine     = regexp.MustCompile(`^(\w+)\["([^"]*)"\]$`)
	arrowLine    = regexp.MustCompile(`^(\w+) -->(?:\|"([^"]*)"\|)? (\w+)$`)
	description  = regexp.MustCompile(`<i>.*?</i>`)
)

// pictures reads the Mermaid flowcharts of the page.
func pictures(t *testing.T, page string) (read []picture) {
	t.Helper()
	for _, block := range mermaid.FindAllStringSubmatch(page, -1) {
		p := picture{boxes: map[string]*box{}}
		var parents []string
		parent := func() string { return strings.Join(parents[max(0, len(parents)-1):], "") }
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSpace(line)
			if m := subgraphLine.FindStringSubmatch(line); m != nil {
				p.boxes[m[1]] = &box{parent: parent()}
				parents = append(parents, m[1])
			} else if m := nodeLine.FindStringSubmatch(line); m != nil {
				label := description.ReplaceAllString(m[2], "")
				parts := slices.DeleteFunc(strings.Split(label, "<br/>"), func(part string) bool { return part == "" })
				p.boxes[m[1]] = &box{parent: parent(), parts: parts}
			} else if m := arrowLine.FindStringSubmatch(line); m != nil {
				p.arrows = append(p.arrows, arrow{from: m[1], label: m[2], to: m[3]})
			} else if line == "end" && len(parents) > 0 {
				parents = parents[:len(parents)-1]
			} else if line != "" && !strings.HasPrefix(line, "%%") && !strings.HasPrefix(line, "flowchart ") && !strings.HasPrefix(line, "direction ") {
				t.Errorf("%s: the test cannot read the line %q", architecturePath, line)
			}
		}
		read = append(read, p)
	}
	return read
}

// path returns the boxes around a box, from the outermost to itself.
func (p *picture) path(name string) (path []string) {
	for ; name != ""; name = p.boxes[name].parent {
		path = append([]string{name}, path...)
	}
	return path
}

// between returns the arrow of an import from one room to another: between the outermost boxes that hold only one of the two.
func (p *picture) between(from, to string) (arrow, bool) {
	for a, b := p.path(from), p.path(to); len(a) > 0 && len(b) > 0; a, b = a[1:], b[1:] {
		if a[0] != b[0] {
			return arrow{from: a[0], to: b[0]}, true
		}
	}
	return arrow{}, false
}

// rooms returns the room of each package.
func (p *picture) rooms(t *testing.T, sources map[string]*source) map[string]string {
	t.Helper()
	rooms := map[string]string{}
	for name, b := range p.boxes {
		for _, dir := range b.parts {
			if sources[dir] == nil {
				t.Errorf("%s: the picture shows %s, which is no package", architecturePath, dir)
			}
			rooms[dir] = name
		}
	}
	for dir := range sources {
		of := dir
		for rooms[of] == "" && of != "." {
			of = filepath.ToSlash(filepath.Dir(of))
		}
		if of == "." {
			t.Errorf("%s: the picture lacks the package %s: add it to a node", architecturePath, dir)
			continue
		}
		rooms[dir] = rooms[of]
	}
	return rooms
}

// imported returns the arrows that the imports make.
func (p *picture) imported(t *testing.T, sources map[string]*source) map[string]string {
	t.Helper()
	rooms := p.rooms(t, sources)
	arrows := map[string]string{}
	for _, dir := range slices.Sorted(maps.Keys(sources)) {
		for _, other := range slices.Sorted(maps.Keys(sources[dir].imports)) {
			if rooms[dir] == "" || rooms[other] == "" {
				continue
			}
			if a, ok := p.between(rooms[dir], rooms[other]); ok && arrows[a.String()] == "" {
				arrows[a.String()] = dir + " imports " + other
			}
		}
	}
	return arrows
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPackagePicture compares the first picture of docs/architecture.md with the imports: an arrow stands for at least one import of a
// package in one box by a package in another, and every such import has its arrow. With -update it writes the arrows.
func TestPackagePicture(t *testing.T) {
	text := readPage(t, architecturePath)
	read := pictures(t, text)
	if len(read) == 0 {
		t.Fatal("the page has no picture")
	}
	p := read[0]
	want := p.imported(t, packages(t))
	if *update {
		before, rest, ok := strings.Cut(text, arrowsBegin)
		_, after, ok2 := strings.Cut(rest, arrowsEnd)
		if !ok || !ok2 {
			t.Fatal("the page does not say where the arrows are")
		}
		lines := ""
		for _, a := range slices.Sorted(maps.Keys(want)) {
			lines += "  " + a + "\n"
		}
		if err := os.WriteFile(filepath.Join(root, architecturePath), []byte(before+arrowsBegin+lines+arrowsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	shown := map[string]bool{}
	for _, a := range p.arrows {
		shown[a.String()] = true
		if want[a.String()] == "" {
			t.Errorf("the picture shows %s, and nothing there imports the other", a)
		}
	}
	for a, why := range want {
		if !shown[a] {
			t.Errorf("the picture lacks %s: %s", a, why)
		}
	}
}

// TestDataPictures checks the other pictures of docs/architecture.md. A node names a package and things that it declares. An arrow leads
// to another node where one of the two packages imports the other, or its label has a word that a package which both import declares.
func TestDataPictures(t *testing.T) {
	sources := packages(t)
	read := pictures(t, readPage(t, architecturePath))
	if len(read) < 3 {
		t.Fatalf("%d pictures, want that of the packages and two of data", len(read))
	}
	for _, p := range read[1:] {
		for name, b := range p.boxes {
			if len(b.parts) == 0 {
				continue
			}
			dir := b.parts[0]
			if sources[dir] == nil {
				t.Errorf("%s: there is no package %s", name, dir)
				continue
			}
			for _, declared := range b.parts[1:] {
				if !sources[dir].exported[declared] {
					t.Errorf("%s: %s does not declare %s", name, dir, declared)
				}
			}
		}
		for _, a := range p.arrows {
			p.checkArrow(t, a, sources)
		}
	}
}

func (p *picture) checkArrow(t *testing.T, a arrow, sources map[string]*source) {
	t.Helper()
	if p.boxes[a.from] == nil || p.boxes[a.to] == nil || len(p.boxes[a.from].parts) == 0 || len(p.boxes[a.to].parts) == 0 {
		t.Errorf("%s: both ends have to be nodes", a)
		return
	}
	from, to := p.boxes[a.from].parts[0], p.boxes[a.to].parts[0]
	if sources[from] == nil || sources[to] == nil || from == to || sources[from].imports[to] || sources[to].imports[from] {
		return
	}
	for dir := range sources[from].imports {
		carried := func(word string) bool { return sources[to].imports[dir] && sources[dir].exported[word] }
		if slices.ContainsFunc(strings.Fields(a.label), carried) {
			return
		}
	}
	t.Errorf("%s: neither %s nor %s imports the other, and no package that both import declares %q", a, from, to, a.label)
}
