package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// suite is what the tests of one package are called.
type suite struct {
	functions map[string]bool
	subjects  map[string]bool // what Describe and Context say
	specs     map[string]bool // what It, DescribeTable and Entry say
}

func (s *suite) has(name string) bool {
	text, err := strconv.Unquote(name)
	if err != nil {
		return s.functions[name]
	}
	for subject := range s.subjects {
		if spec, ok := strings.CutPrefix(text, subject+" "); ok && s.specs[spec] {
			return true
		}
	}
	return false
}

func read(t *testing.T, dir string) *suite {
	t.Helper()
	s := &suite{functions: map[string]bool{}, subjects: map[string]bool{}, specs: map[string]bool{}}
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.FuncDecl:
				s.functions[node.Name.Name] = node.Recv == nil
			case *ast.CallExpr:
				s.add(node)
			}
			return true
		})
	}
	return s
}

func (s *suite) add(call *ast.CallExpr) {
	function, ok := call.Fun.(*ast.Ident)
	if !ok || len(call.Args) == 0 {
		return
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		return
	}
	switch function.Name {
	case "Describe", "Context":
		s.subjects[text] = true
	case "It", "DescribeTable", "Entry":
		s.specs[text] = true
	}
}

var (
	named    = regexp.MustCompile("`([a-z0-9_/-]+): (Test[A-Za-z0-9]+|\"[^`]+\")`")
	heading  = regexp.MustCompile(`(?m)^### .*$`)
	inATable = regexp.MustCompile(`(?m)^\| [^-|].*\|$`)
)

// TestSecurityNamesItsTests: every line of who can do what has a test, and every test that is named exists.
func TestSecurityNamesItsTests(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	suites := map[string]*suite{}
	for _, name := range named.FindAllStringSubmatch(string(page), -1) {
		if suites[name[1]] == nil {
			suites[name[1]] = read(t, name[1])
		}
		if !suites[name[1]].has(name[2]) {
			t.Errorf("there is no test %s: %s", name[1], name[2])
		}
	}
	_, who, _ := strings.Cut(string(page), "## Who can do what")
	who, _, _ = strings.Cut(who, "## What it costs")
	sections := heading.Split(who, -1)[1:]
	if len(sections) < 10 {
		t.Fatalf("%d sections of who can do what", len(sections))
	}
	for i, section := range sections {
		if !named.MatchString(section) {
			t.Errorf("section %d names no test", i+1)
		}
		for _, row := range inATable.FindAllString(section, -1) {
			if !named.MatchString(row) && !strings.HasPrefix(row, "| defence |") {
				t.Errorf("no test: %s", row)
			}
		}
	}
}
