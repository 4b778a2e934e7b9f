package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ignored are settings of the environment that would change a program. Each release is built with the defaults.
var ignored = []string{"GOFLAGS", "GOEXPERIMENT", "GOAMD64", "GOARM64", "GOFIPS140", "GOWORK", "GODEBUG"}

// compile builds a program for a platform, and returns its path. The file depends only on the sources, the version and the Go
// toolchain: neither on the folder (-trimpath) nor on the state of the checkout (-buildvcs=false).
func (r *release) compile(ctx context.Context, p program, target platform) (string, error) {
	path := r.binary(p, target)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "building %s for %s\n", p.name, target)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", r.ldflags(), "-o", path, p.source)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.root, os.Stderr, os.Stderr
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return slices.Contains(ignored, name)
	}), "CGO_ENABLED=0", "GOOS="+target.os, "GOARCH="+target.arch, "GOWORK=off", "GOFLAGS=-mod=readonly")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building %s for %s: %w", p.name, target, err)
	}
	return path, nil
}

// ldflags are those of the Makefile.
func (r *release) ldflags() string {
	const at = module + "/internal/version."
	return fmt.Sprintf("-s -w -X %sversion=%s -X %srevision=%s", at, r.version, at, r.revision)
}

// binary returns where a program for a platform is.
func (r *release) binary(p program, target platform) string {
	name := p.name
	if target.os == "windows" {
		name += ".exe"
	}
	return filepath.Join(r.dist, "bin", target.in("_"), name)
}
