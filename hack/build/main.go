// Build builds programs as "go build" does, and shows meanwhile what is done and how much is left. The first build compiles
// Kubernetes, which takes minutes.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const usage = `Usage: build [-C directory] [-name name] [-ldflags flags] file=package...

Builds each package into its file. A file that was there is replaced in one step.

`

func main() {
	var b builder
	flag.StringVar(&b.dir, "C", ".", "build in this `directory`; files are relative to the one that the command was called in")
	flag.StringVar(&b.name, "name", "build", "what is built, for messages")
	flag.StringVar(&b.ldflags, "ldflags", "", "`flags` for the linker")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := b.parse(flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n\n", err)
		flag.Usage()
		os.Exit(2)
	}
	b.progress = newProgress(os.Stdout, b.name, time.Now)
	b.errors = os.Stderr
	if err := b.run(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", b.name, err)
		os.Exit(1)
	}
}

// builder builds some programs of a module.
type builder struct {
	dir, name, ldflags string
	programs           []program

	progress *progress
	errors   io.Writer

	once     sync.Once
	counting sync.WaitGroup
}

type program struct{ file, pkg string }

func (b *builder) parse(args []string) error {
	if len(args) == 0 {
		return errors.New("which programs?")
	}
	for _, arg := range args {
		file, pkg, found := strings.Cut(arg, "=")
		if !found || file == "" || pkg == "" {
			return fmt.Errorf("%q is not file=package", arg)
		}
		file, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		b.programs = append(b.programs, program{file, pkg})
	}
	return nil
}

func (b *builder) run(ctx context.Context) error {
	defer b.counting.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a count that is late
	for _, p := range b.programs {
		if err := b.build(ctx, p); err != nil {
			return err
		}
	}
	b.progress.finish()
	return nil
}

// build builds a program. A process keeps the file that it was started from, and an interrupted build leaves no file that
// looks finished: the new file is moved into place.
func (b *builder) build(ctx context.Context, p program) error {
	if err := os.MkdirAll(filepath.Dir(p.file), 0o755); err != nil { //nolint:gosec // programs are for everybody to run
		return err
	}
	next := p.file + ".next"
	_ = os.Remove(next) // of a build that was interrupted
	// Go links a program only if it is not what is there already, and replaces files instead of writing into them.
	if err := os.Link(p.file, next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	defer func() { _ = os.Remove(next) }() // renaming a file to another name of its own does nothing
	// -v names each package when its compilation begins, and no package that is in Go's cache.
	cmd := b.command(ctx, "build", "-v", "-o", next, "-ldflags", b.ldflags, p.pkg)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for lines := bufio.NewReader(stderr); err == nil; {
		var line string
		if line, err = lines.ReadString('\n'); line != "" {
			b.read(ctx, strings.TrimSuffix(line, "\n"))
		}
	}
	if err := cmd.Wait(); err != nil {
		b.progress.clear()
		return fmt.Errorf("building %s failed: %w", filepath.Base(p.file), err)
	}
	if err := os.Rename(next, p.file); err == nil {
		return nil
	}
	// Overlay file systems, as in containers, cannot replace a file of a lower layer that has got another name.
	if err := os.Remove(p.file); err != nil {
		return err
	}
	return os.Rename(next, p.file)
}

// read reads a line of what "go build -v" writes to its standard error.
func (b *builder) read(ctx context.Context, line string) {
	switch module, fetching := strings.CutPrefix(line, "go: downloading "); {
	case fetching:
		b.progress.fetch(module)
	case isImportPath(line):
		b.progress.compile(line)
		// In vain for what is in Go's cache, therefore only now. It takes seconds, and the build goes on.
		b.once.Do(func() { b.counting.Go(func() { b.count(ctx) }) })
	default:
		b.progress.clear()
		_, _ = fmt.Fprintln(b.errors, line)
	}
}

// isImportPath reports whether a line is nothing but the name of a package. Errors have spaces, and begin with # or a position.
func isImportPath(line string) bool {
	return line != "" && !strings.ContainsAny(line, " \t:#")
}

// count finds out which packages have to be compiled, and how much work each is. Without an answer, the progress does not
// say how much is left.
func (b *builder) count(ctx context.Context) {
	// Unless it is asked for embedded files, Go does not read them, takes packages that have some for stale, and so all that import them.
	args := []string{"list", "-deps", "-json=ImportPath,Dir,GoFiles,CgoFiles,EmbedFiles,Imports,Stale"}
	for _, p := range b.programs {
		args = append(args, p.pkg)
	}
	out, err := b.command(ctx, args...).Output()
	if err != nil {
		return
	}
	work := map[string]int64{}
	below := dependencies{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct {
			ImportPath, Dir            string
			GoFiles, CgoFiles, Imports []string
			Stale                      bool
		}
		if err := decoder.Decode(&listed); err != nil {
			break
		}
		imported := below.add(listed.ImportPath, listed.Imports)
		work[listed.ImportPath] = 0
		if listed.Stale {
			work[listed.ImportPath] = size(listed.Dir, append(listed.GoFiles, listed.CgoFiles...)) + importWork*int64(imported)
		}
	}
	b.progress.expect(work)
}

// importWork is how many bytes of source take as long to compile as a package that is imported, itself or by imports.
// Kubernetes has many small packages that import a thousand others, so without it the estimate would be too low by a half.
const importWork = 300

// dependencies are the sets of packages that packages depend on, as bits.
type dependencies map[string]*dependency

type dependency struct {
	number int
	below  *big.Int
}

// add adds a package after those that it imports, and returns how many packages it depends on.
func (d dependencies) add(pkg string, imports []string) (count int) {
	below := new(big.Int)
	for _, name := range imports {
		if imported, found := d[name]; found {
			below.Or(below, imported.below)
			below.SetBit(below, imported.number, 1)
		}
	}
	d[pkg] = &dependency{number: len(d), below: below}
	for _, word := range below.Bits() {
		count += bits.OnesCount(uint(word))
	}
	return count
}

func size(dir string, files []string) (bytes int64) {
	for _, file := range files {
		if info, err := os.Stat(filepath.Join(dir, file)); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

func (b *builder) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the arguments are those of the Makefile
	cmd.Dir = b.dir
	cmd.Env = cmd.Environ()
	// Compilers live for seconds: with fewer garbage collections they need a tenth less processor time, and some more memory.
	for name, value := range map[string]string{"GOGC": "400", "GOMEMLIMIT": "1500MiB"} {
		if os.Getenv(name) == "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	return cmd
}
