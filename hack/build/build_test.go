package main

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// module writes a module that no cache has: a program, and a package that it prints.
func module(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for file, text := range map[string]string{
		"go.mod":      "module example.org/m\n\ngo 1.26\n",
		"main.go":     "package main\n\nimport \"example.org/m/said\"\n\nfunc main() { println(said.Text) }\n",
		"said/say.go": "package said\n\nconst Text = \"" + rand.Text() + "\"\n",
	} {
		write(t, filepath.Join(dir, file), text)
	}
	return dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run builds the module into its file "program", and returns what is shown and what is reported.
func run(t *testing.T, dir string) (out, problems string, err error) {
	t.Helper()
	var shown, reported strings.Builder
	b := &builder{dir: dir, name: "m", progress: newProgress(&shown, "m", time.Now), errors: &reported}
	b.progress.terminal = true
	if err := b.parse([]string{filepath.Join(dir, "program") + "=."}); err != nil {
		t.Fatal(err)
	}
	err = b.run(t.Context())
	return shown.String(), reported.String(), err
}

func TestBuild(t *testing.T) {
	dir := module(t)
	file := filepath.Join(dir, "program")

	out, problems, err := run(t, dir)
	if err != nil || problems != "" {
		t.Fatalf("%v: %s", err, problems)
	}
	for _, want := range []string{"; now example.org/m/said\x1b", "; now example.org/m\x1b"} {
		if !strings.Contains(out, want) {
			t.Errorf("it shows %q, without %q", out, want)
		}
	}
	said, err := exec.CommandContext(t.Context(), file).CombinedOutput()
	if err != nil || len(said) == 0 {
		t.Fatalf("the program says %q: %v", said, err)
	}
	first := inode(t, file)

	// What is up to date is neither compiled nor linked again.
	if out, _, err := run(t, dir); err != nil || strings.Contains(out, "now") {
		t.Errorf("built again: %q, %v", out, err)
	}
	if !os.SameFile(first, inode(t, file)) {
		t.Error("it was linked again")
	}

	// An error is shown, the old program stays.
	write(t, filepath.Join(dir, "said/say.go"), "package said\n\nconst Text = wrong\n")
	_, problems, err = run(t, dir)
	if err == nil || err.Error() != "building program failed: exit status 1" || !strings.Contains(problems, "undefined: wrong") {
		t.Errorf("got %v: %s", err, problems)
	}
	if !os.SameFile(first, inode(t, file)) {
		t.Error("the old program was replaced")
	}

	// A change replaces the program by another file.
	write(t, filepath.Join(dir, "said/say.go"), "package said\n\nconst Text = \"second\"\n")
	if _, problems, err := run(t, dir); err != nil {
		t.Fatalf("%v: %s", err, problems)
	}
	if os.SameFile(first, inode(t, file)) {
		t.Error("it was written into the file that may be running")
	}
	if said, err := exec.CommandContext(t.Context(), file).CombinedOutput(); err != nil || string(said) != "second\n" {
		t.Errorf("the program says %q: %v", said, err)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func inode(t *testing.T, file string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestCount: what is in Go's cache is not counted as work.
func TestCount(t *testing.T) {
	dir := module(t)
	b := &builder{dir: dir, progress: newProgress(new(strings.Builder), "m", time.Now)}
	if err := b.parse([]string{"program=."}); err != nil {
		t.Fatal(err)
	}
	counted := func() map[string]int64 {
		b.count(t.Context())
		return b.progress.expected
	}
	before := counted()
	if info := inode(t, filepath.Join(dir, "said/say.go")); before["example.org/m/said"] != info.Size() {
		t.Errorf("it is %d, want %d", before["example.org/m/said"], info.Size())
	}
	if info := inode(t, filepath.Join(dir, "main.go")); before["example.org/m"] != info.Size()+importWork {
		t.Errorf("the program is %d, want %d", before["example.org/m"], info.Size()+importWork)
	}
	if _, problems, err := run(t, dir); err != nil {
		t.Fatalf("%v: %s", err, problems)
	}
	after := counted()
	if size, known := after["example.org/m/said"]; !known || size != 0 {
		t.Errorf("what is compiled is %d (%v)", size, known)
	}
	if size, known := after["runtime"]; !known || size != 0 {
		t.Errorf("the runtime is %d (%v)", size, known)
	}
}

// TestCountReadsEmbeddedFiles: a package with embedded files, and what imports it, are no work either when they are in Go's cache,
// also if there are several programs.
func TestCountReadsEmbeddedFiles(t *testing.T) {
	dir := module(t)
	write(t, filepath.Join(dir, "said/say.go"), "package said\n\nimport _ \"embed\"\n\n//go:embed text\nvar Text string\n")
	write(t, filepath.Join(dir, "said/text"), rand.Text())
	write(t, filepath.Join(dir, "again/again.go"), "package again\n\nimport \"example.org/m/said\"\n\nvar Text = said.Text + said.Text\n")
	write(t, filepath.Join(dir, "other/main.go"), "package main\n\nimport \"example.org/m/again\"\n\nfunc main() { println(again.Text) }\n")
	b := &builder{dir: dir, name: "m", progress: newProgress(new(strings.Builder), "m", time.Now), errors: new(strings.Builder)}
	if err := b.parse([]string{filepath.Join(dir, "program") + "=.", filepath.Join(dir, "another") + "=./other"}); err != nil {
		t.Fatal(err)
	}
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.count(t.Context())
	for _, pkg := range []string{"embed", "example.org/m/said", "example.org/m/again"} {
		if size, known := b.progress.expected[pkg]; !known || size != 0 {
			t.Errorf("%s is work: %d (%v)", pkg, size, known)
		}
	}
}

func TestDependencies(t *testing.T) {
	d := dependencies{}
	for _, c := range []struct {
		pkg     string
		imports []string
		want    int
	}{
		{"a", nil, 0},
		{"b", []string{"a"}, 1},
		{"c", []string{"a", "C"}, 1},
		{"d", []string{"b", "c"}, 3},
		{"e", []string{"a", "d"}, 4},
	} {
		if got := d.add(c.pkg, c.imports); got != c.want {
			t.Errorf("%s depends on %d packages, want %d", c.pkg, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, args := range [][]string{nil, {"./x"}, {"=./x"}, {"x="}} {
		if err := new(builder).parse(args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
