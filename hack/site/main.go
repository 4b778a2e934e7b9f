// Command site builds the site of the documentation with Hugo, from the Markdown files of the repository, and checks it: every link and
// anchor leads somewhere, nothing is requested from others, and every address that the programs print has its page.
//
//	go run ./hack/site -hugo bin/hugo -into dist/docs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// base is where the site is.
const base = "https://keyward.dev/"

func main() {
	hugo := flag.String("hugo", "bin/hugo", "the program")
	into := flag.String("into", "dist/docs", "the directory of the site, whose content is replaced")
	flag.Parse()
	if err := run(context.Background(), *hugo, *into); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
}

// run builds the site of the repository in the working directory.
func run(ctx context.Context, hugo, into string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	for _, path := range []*string{&hugo, &into} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	scratch, err := os.MkdirTemp("", "keyward-site-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // it is in the temporary directory
	cmd := exec.CommandContext(ctx, hugo, "--source", root, "--config", "hack/site/hugo.toml", "--destination", into,
		"--cacheDir", scratch, "--noBuildLock", "--cleanDestinationDir", "--panicOnWarning", "--quiet")
	cmd.Env = append(os.Environ(), "HUGO_RESOURCEDIR="+scratch)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("hugo: %w\n%s", err, output)
	}
	addresses, err := Addresses(root)
	if err != nil {
		return err
	}
	built, err := Read(into)
	if err != nil {
		return err
	}
	if faults := built.Check(addresses); len(faults) > 0 {
		return errors.Join(faults...)
	}
	fmt.Printf("%s: %d pages, %d links; open %s\n", into, len(built.pages), built.links, filepath.Join(into, "index.html"))
	return nil
}
