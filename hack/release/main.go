// Command release builds what is released: programs, images and the files around them, without a container engine. The
// same commit gives the same bytes, on any machine with the same version of Go.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/mod/semver"

	"github.com/keyward-dev/keyward/hack/release/sbom"
)

const usage = `Usage: keyward-release COMMAND [FLAGS]; make images and make dist run it.

Commands:
  images   build the images into dist/images, and push them
  files    write the files of the images into dist/files, for the Dockerfile
  chart    package the Helm chart into dist
  dist     build everything that is released into dist
`

const pushUsage = "also push the images to registry/repository, followed by their names"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

// A release is built from the repository in root, and written to dist.
type release struct {
	root, dist        string
	version, revision string
	created           time.Time // of everything: that of the commit
	platforms         []platform
	licenses          sbom.Licenses
}

func run(ctx context.Context, args []string) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("keyward-release "+command, flag.ContinueOnError)
	r := &release{}
	flags.StringVar(&r.root, "root", ".", "the repository")
	flags.StringVar(&r.dist, "dist", "dist", "where to write")
	flags.StringVar(&r.version, "version", "", "version of everything, such as v0.1.0")
	flags.StringVar(&r.revision, "revision", "unknown", "Git revision")
	platforms := flags.String("platforms", names(released), "what to build for; empty for this machine")
	push := ""
	downloads := source + "/releases/download"
	switch command {
	case "images":
		flags.StringVar(&push, "push", "", pushUsage)
	case "dist":
		flags.StringVar(&push, "push", "", pushUsage)
		flags.StringVar(&downloads, "downloads", downloads, "where the files will be, in a folder for each version")
	case "files", "chart":
	default:
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("%q is no command", command)
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := r.complete(*platforms); err != nil {
		return err
	}
	switch command {
	case "images":
		_, err := r.images(ctx, push)
		return err
	case "files":
		return r.files(ctx)
	case "chart":
		return r.chart()
	default:
		return r.everything(ctx, push, downloads)
	}
}

// longest is how long a version may be, as the value of a label.
const longest = 63

func (r *release) complete(platforms string) (err error) {
	// Helm and krew require a semantic version, images and labels that it has no part with a +, which is what Canonical omits.
	if semver.Canonical(r.version) != r.version || r.version == "" || len(r.version) > longest {
		return fmt.Errorf("-version: %q is not a version that charts and images can have; write one such as v0.1.0", r.version)
	}
	seconds, err := strconv.ParseInt(cmp.Or(os.Getenv("SOURCE_DATE_EPOCH"), "0"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: write a number of seconds: %w", err)
	}
	r.created = time.Unix(seconds, 0).UTC()
	if r.platforms, err = parsePlatforms(platforms); err != nil {
		return err
	}
	if r.root, err = filepath.Abs(r.root); err != nil {
		return err
	}
	if r.dist, err = filepath.Abs(r.dist); err != nil {
		return err
	}
	r.licenses, err = sbom.ReadLicenses(filepath.Join(r.root, "NOTICE"))
	return err
}
