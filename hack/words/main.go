// Words checks that the repository does not use words that were dropped from its vocabulary. It reads names, comments,
// messages and documents, and prints where a dropped word occurs and which word to use instead. `make lint` runs it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	dir := flag.String("dir", ".", "`directory` of the checkout to read")
	count := flag.Bool("count", false, "print only how often each word occurs, and do not fail")
	flag.Parse()
	if err := run(os.Stdout, *dir, *count); err != nil {
		fmt.Fprintln(os.Stderr, "words:", err)
		os.Exit(1)
	}
}

// run checks a checkout. It fails when a dropped word is found, unless it only counts.
func run(out io.Writer, dir string, count bool) error {
	all, err := check(dir, newVocabulary(rules))
	if err != nil {
		return err
	}
	found := slices.DeleteFunc(slices.Clone(all), func(f finding) bool { return isExcepted(f, exceptions) })
	if err := needed(exceptions, all); dir == "." && err != nil {
		return err
	}
	if !count {
		for _, f := range found {
			fmt.Fprintln(out, f)
		}
	}
	if count || len(found) > 0 {
		summarize(out, "word", found, func(f finding) string { return f.rule.name })
		summarize(out, "directory", found, func(f finding) string { return path.Dir(f.file) })
		fmt.Fprintf(out, "%d in all\n", len(found))
	}
	if count || len(found) == 0 {
		return nil
	}
	return errors.New("dropped words are in use: write the words beside them instead, or add an exception to hack/words/exceptions.go")
}

// summarize prints a table of how many findings there are of each kind, most first.
func summarize(out io.Writer, title string, found []finding, kind func(finding) string) {
	counts := map[string]int{}
	for _, f := range found {
		counts[kind(f)]++
	}
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	fmt.Fprintf(out, "\n%7s  %s\n", "times", title)
	for _, k := range kinds {
		fmt.Fprintf(out, "%7d  %s\n", counts[k], k)
	}
	fmt.Fprintln(out)
}

// needed keeps the list of exceptions short: each has a reason, and at least one finding needs it.
func needed(exceptions []exception, found []finding) error {
	var problems []error
	for _, e := range exceptions {
		if !slices.ContainsFunc(found, e.applies) {
			problems = append(problems, fmt.Errorf("no finding needs the exception %+v: remove it from hack/words/exceptions.go", e))
		}
		if e.why == "" {
			problems = append(problems, fmt.Errorf("the exception %+v has no reason", e))
		}
	}
	return errors.Join(problems...)
}

// check reads all files of a checkout that git tracks, and those that it would.
func check(dir string, v *vocabulary) ([]finding, error) {
	files, err := list(dir)
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, os.ErrNotExist) { // deleted, but not yet in the index
			continue
		}
		if err != nil {
			return nil, err
		}
		more, err := checkFile(file, string(text), v)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// list names the files of a checkout.
func list(dir string) ([]string, error) {
	command := exec.CommandContext(context.Background(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	command.Dir = dir
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files in %s: %w", dir, err)
	}
	files := strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	slices.Sort(files)
	return slices.Compact(files), nil
}
