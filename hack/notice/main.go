// Command notice writes NOTICE: the licences of everything that is linked into the shipped programs. It reads them in the
// module cache, next to the linked packages and in the directories above, and fails if a licence is missing or of a kind
// that has not been reviewed.
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// goLicense is the licence of the standard library and the runtime. Not every installation of Go includes it.
//
//go:embed go-license.txt
var goLicense string

// programs are what is shipped, and for which systems.
var programs = []struct {
	system string
	paths  []string
}{
	{"linux", []string{"./cmd/manager", "./cmd/validator", "./cmd/console", "./cmd/kubectl-keyward"}},
	{"darwin", []string{"./cmd/kubectl-keyward"}},
	{"windows", []string{"./cmd/kubectl-keyward"}},
}

// kinds are the licences that may be linked, by a phrase of theirs and one that they must not have. The names are those of SPDX.
var kinds = []struct{ name, phrase, without string }{
	{"Apache-2.0", "Apache License Version 2.0", ""},
	{"Apache-2.0", "Licensed under the Apache License, Version 2.0", ""},
	{"MIT", "Permission is hereby granted, free of charge", ""},
	{"BSD-2-Clause", "Redistribution and use in source and binary forms", endorsement},
	{"BSD-3-Clause", endorsement, ""},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software", ""},
	{"ISC", "Permission to use, copy, modify, and distribute this software", ""},
}

// endorsement is the third clause of BSD licences.
const endorsement = "used to endorse or promote products derived from this software"

// part is a module, or the part of it that a licence file applies to.
type part struct{ module, version, file, text string }

func main() {
	if err := run("NOTICE"); err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	notice, err := write(".")
	if err != nil {
		return err
	}
	return os.WriteFile(path, notice, 0o644) //nolint:gosec // it is for everybody to read
}

// write returns the notice of the module in a directory.
func write(root string) ([]byte, error) {
	parts := map[part]bool{{module: "the Go standard library", text: goLicense}: true}
	for _, p := range programs {
		if err := linked(root, p.system, p.paths, parts); err != nil {
			return nil, err
		}
	}
	return render(parts)
}

// linked adds what the programs are linked from.
func linked(root, system string, paths []string, parts map[part]bool) error {
	cmd := exec.CommandContext(context.Background(), "go", append([]string{"list", "-deps", "-json=ImportPath,Dir,Module"}, paths...)...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list for %s: %w", system, err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct {
			Dir    string
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := decoder.Decode(&listed); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading what go list says: %w", err)
		}
		m := listed.Module
		if m == nil || m.Main {
			continue
		}
		if err := licensesOf(m.Path, m.Version, m.Dir, listed.Dir, parts); err != nil {
			return err
		}
	}
}

// licensesOf adds the licence files of a package: those beside it and in the directories above, within the module.
func licensesOf(module, version, root, dir string, parts map[part]bool) error {
	found := false
	for ; strings.HasPrefix(dir, root); dir = filepath.Dir(dir) {
		files, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, file := range files {
			if file.IsDir() || !isLicense(file.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, file.Name()))
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, filepath.Join(dir, file.Name()))
			if err != nil {
				return err
			}
			found = true
			parts[part{module, version, filepath.ToSlash(name), tidied(string(text))}] = true
		}
	}
	if !found {
		return fmt.Errorf("%s %s has no licence file: it must not be linked, unless the file is elsewhere", module, version)
	}
	return nil
}

// isLicense reports whether a file is a licence or a notice by its name, and not source code of that name.
func isLicense(name string) bool {
	upper := strings.ToUpper(name)
	if ext := filepath.Ext(upper); ext == ".GO" || ext == ".SH" || ext == ".PY" {
		return false
	}
	return slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"}, func(prefix string) bool {
		return strings.HasPrefix(upper, prefix)
	})
}

// tidied returns a text without invisible differences.
func tidied(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n") + "\n"
}

// kindsOf returns the kinds of licences in a text, as SPDX writes them, or "" if there is none or it is unknown.
func kindsOf(text string) string {
	flat := strings.Join(strings.Fields(text), " ")
	var names []string
	for _, kind := range kinds {
		if strings.Contains(flat, kind.phrase) && (kind.without == "" || !strings.Contains(flat, kind.without)) {
			names = append(names, kind.name)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " AND ")
}

// render writes each text once, with the modules that it belongs to.
func render(parts map[part]bool) ([]byte, error) {
	texts, licensed := map[string][]string{}, map[string]bool{}
	for p := range parts {
		name := strings.TrimSpace(p.module + " " + p.version)
		kind := kindsOf(p.text)
		licensed[name] = licensed[name] || kind != ""
		if p.file != "" {
			name += ", " + p.file
		}
		if kind != "" {
			name += " (" + kind + ")" // hack/release reads it
		}
		texts[p.text] = append(texts[p.text], name)
	}
	for name, known := range licensed {
		if !known {
			return nil, fmt.Errorf("the licence of %s is of an unknown kind: review it, and add its kind to hack/notice if it may be linked", name)
		}
	}
	all := make([]string, 0, len(texts))
	for text, names := range texts {
		slices.Sort(names)
		all = append(all, text)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(texts[a][0], texts[b][0]) })
	var out bytes.Buffer
	fmt.Fprintln(&out, "Keyward's programs are linked from the following software. This file is written by make licenses.")
	for _, text := range all {
		fmt.Fprintf(&out, "\n%s\n", strings.Repeat("=", 100))
		for _, name := range texts[text] {
			fmt.Fprintln(&out, name)
		}
		fmt.Fprintf(&out, "%s\n\n%s", strings.Repeat("-", 100), text)
	}
	return out.Bytes(), nil
}
