package sbom

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

// Licenses are the licences of modules, by "module version".
type Licenses map[string]string

const standardLibrary = "the Go standard library"

// entry is a line of NOTICE that names a module, a file of it, and the licence of the file:
//
//	github.com/beorn7/perks v1.0.1, LICENSE (MIT)
var entry = regexp.MustCompile(`^([^ ]+ v[^ ,]+|` + standardLibrary + `)(?:, [^(]*?)? ?\(([A-Z0-9a-z. -]+)\)$`)

// ReadLicenses reads NOTICE, which hack/notice writes and reviews. A module with several licences requires all of them.
func ReadLicenses(path string) (Licenses, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if m := entry.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			found[m[1]] = append(found[m[1]], strings.Split(m[2], " AND ")...)
		}
	}
	licenses := Licenses{}
	for module, names := range found {
		slices.Sort(names)
		licenses[module] = strings.Join(slices.Compact(names), " AND ")
	}
	return licenses, nil
}
