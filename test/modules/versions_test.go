package modules

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

const root = "../.."

// alike are the modules that list the same versions as the main module does: Go compiles a package once for all of them.
var alike = []string{"hack/devcluster", "hack/release", "hack/tools/generate", "test/chart"}

// TestOneSetOfVersions: a package that two modules need in different versions is compiled twice, and so is everything that
// imports it. One version of golang.org/x/sys that differs makes half of the first build double work.
func TestOneSetOfVersions(t *testing.T) {
	main := listed(t, "go.mod")
	for _, dir := range alike {
		found, fix := compare(main, listed(t, dir+"/go.mod"), dir)
		for _, difference := range found {
			t.Error(difference)
		}
		if len(fix) > 0 {
			t.Errorf("to fix it:\n  %s", strings.Join(fix, "\n  "))
		}
	}
}

func TestCompare(t *testing.T) {
	const main = "module m\nrequire (\n\ta.example/same v1.0.0\n\ta.example/lower v1.9.0\n\ta.example/higher v1.10.0 // indirect\n" +
		"\ta.example/pinned v0.37.1\n\ta.example/mine v1.0.0\n)\n"
	const other = "module m/o\nrequire (\n\ta.example/same v1.0.0\n\ta.example/lower v1.10.0 // indirect\n\ta.example/higher v1.9.0\n" +
		"\ta.example/pinned v0.0.0\n\ta.example/theirs v1.0.0\n)\nreplace a.example/pinned => a.example/pinned v0.37.0\n"
	found, fix := compare(parse(t, main), parse(t, other), "o")
	if want := []string{
		"a.example/higher: v1.10.0 in go.mod, v1.9.0 in o/go.mod",
		"a.example/lower: v1.9.0 in go.mod, v1.10.0 in o/go.mod",
		"a.example/pinned: v0.37.1 in go.mod, v0.37.0 in o/go.mod",
	}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	if want := []string{
		"go get a.example/lower@v1.10.0 && go mod tidy",
		"cd o && go mod edit -replace=a.example/pinned=a.example/pinned@v0.37.1 && go get a.example/higher@v1.10.0 && go mod tidy",
	}; !slices.Equal(fix, want) {
		t.Errorf("to fix it: %q, want %q", fix, want)
	}
}

// version is what a go.mod selects of a module.
type version struct {
	number string
	// replaced says that a directive names it, which "go get" does not change.
	replaced bool
}

// compare returns which of the modules that both files list have different versions, and the commands that raise each to
// the higher one.
func compare(main, other map[string]version, dir string) (found, fix []string) {
	var mine, theirs raise
	for path, ours := range main {
		its, both := other[path]
		if !both || its.number == ours.number {
			continue
		}
		found = append(found, fmt.Sprintf("%s: %s in go.mod, %s in %s/go.mod", path, ours.number, its.number, dir))
		if semver.Compare(ours.number, its.number) < 0 {
			mine.to(path, its.number, ours.replaced)
		} else {
			theirs.to(path, ours.number, its.replaced)
		}
	}
	slices.Sort(found)
	if command := mine.command(); command != "" {
		fix = append(fix, command)
	}
	if command := theirs.command(); command != "" {
		fix = append(fix, "cd "+dir+" && "+command)
	}
	return found, fix
}

// raise collects what has to be raised in a module.
type raise struct{ get, replace []string }

func (r *raise) to(path, number string, replaced bool) {
	if replaced {
		r.replace = append(r.replace, "-replace="+path+"="+path+"@"+number)
		return
	}
	r.get = append(r.get, path+"@"+number)
}

func (r *raise) command() string {
	var steps []string
	if len(r.replace) > 0 {
		slices.Sort(r.replace)
		steps = append(steps, "go mod edit "+strings.Join(r.replace, " "))
	}
	if len(r.get) > 0 {
		slices.Sort(r.get)
		steps = append(steps, "go get "+strings.Join(r.get, " "))
	}
	if len(steps) == 0 {
		return ""
	}
	return strings.Join(append(steps, "go mod tidy"), " && ")
}

// listed returns what a go.mod of this repository selects. It lists every module that a package is compiled from.
func listed(t *testing.T, file string) map[string]version {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func parse(t *testing.T, text string) map[string]version {
	t.Helper()
	file, err := modfile.Parse("go.mod", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]version{}
	for _, require := range file.Require {
		versions[require.Mod.Path] = version{number: require.Mod.Version}
	}
	for _, replace := range file.Replace {
		if _, required := versions[replace.Old.Path]; required && replace.New.Path == replace.Old.Path {
			versions[replace.Old.Path] = version{number: replace.New.Version, replaced: true}
		}
	}
	return versions
}
