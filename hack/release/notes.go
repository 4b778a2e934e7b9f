package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeNotes writes the section of the changelog about this version, and the images.
func (r *release) writeNotes(list *imageList) error {
	changelog, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	changes, err := changesOf(string(changelog), r.version)
	if err != nil {
		return err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# Keyward %s\n\n%s\n\n## Images\n\n| image | digest |\n|---|---|\n", r.version, changes)
	for _, image := range list.Images {
		fmt.Fprintf(&out, "| `%s` | `%s` |\n", image.reference(), image.Digest)
	}
	return os.WriteFile(filepath.Join(r.dist, "RELEASE_NOTES.md"), []byte(out.String()), 0o644) //nolint:gosec // for everybody
}

// changesOf returns what the changelog has about a version: its section, or before the release, that of what is unreleased.
func changesOf(changelog, version string) (string, error) {
	for _, heading := range []string{"\n## [" + strings.TrimPrefix(version, "v") + "]", "\n## [Unreleased]"} {
		if _, after, found := strings.Cut(changelog, heading); found {
			_, section, _ := strings.Cut(after, "\n")
			section, _, _ = strings.Cut(section, "\n## ")
			return strings.TrimSpace(section), nil
		}
	}
	return "", fmt.Errorf("CHANGELOG.md has neither a section [%s] nor [Unreleased]", strings.TrimPrefix(version, "v"))
}
