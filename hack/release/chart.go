package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/hack/release/archive"
)

const (
	// chartFile is the description of a chart, in its directory.
	chartFile = "Chart.yaml"
	// ignoreFile has the patterns of files that are no part of it.
	ignoreFile = ".helmignore"
	valuesFile = "values.yaml"
)

// chart packages only the chart. Packages of earlier versions go, as everywhere in dist.
func (r *release) chart() error {
	if err := os.MkdirAll(r.dist, 0o755); err != nil { //nolint:gosec // it is for everybody to read
		return err
	}
	if err := r.remove(chartPackages); err != nil {
		return err
	}
	return r.writeChart(nil)
}

// writeChart packages the Helm chart. helm package would write other bytes on each machine. If the images were pushed, it
// names them.
func (r *release) writeChart(images []imageRecord) error {
	dir := filepath.Join(r.root, "charts", "keyward")
	stamped := map[string]string{}
	for name, stamp := range map[string]func(string) (string, error){
		chartFile:  func(text string) (string, error) { return stampChart(text, r.version) },
		valuesFile: func(text string) (string, error) { return stampValues(text, images) },
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if stamped[name], err = stamp(string(text)); err != nil {
			return err
		}
	}
	ignored, err := readIgnored(filepath.Join(dir, ignoreFile))
	if err != nil {
		return err
	}
	// Helm reads the description first.
	files := []archive.File{{Name: "keyward/" + chartFile, Content: []byte(stamped[chartFile])}}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || ignored.match(entry.Name()) {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == chartFile {
			return err
		}
		file := archive.File{Name: "keyward/" + filepath.ToSlash(name), Path: path}
		if text, changed := stamped[name]; changed {
			file.Content, file.Path = []byte(text), ""
		}
		files = append(files, file)
		return nil
	})
	if err != nil {
		return err
	}
	name := "keyward-" + strings.TrimPrefix(r.version, "v") + ".tgz"
	fmt.Println(name)
	return archive.Write(filepath.Join(r.dist, name), r.created, files)
}

// patterns are those of an ignore file, for the names of files.
type patterns []string

// readIgnored reads the patterns that Helm ignores files by. Of Helm's syntax, it knows what the chart needs, and refuses the rest.
func readIgnored(path string) (patterns, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var read patterns
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := filepath.Match(line, ""); err != nil || strings.ContainsAny(line, "/!") {
			return nil, fmt.Errorf("%s: %q is not a pattern for the name of a file, such as *.swp", path, line)
		}
		read = append(read, line)
	}
	return read, nil
}

func (p patterns) match(name string) bool {
	return slices.ContainsFunc(p, func(pattern string) bool {
		matched, err := filepath.Match(pattern, name)
		return err == nil && matched
	})
}

var (
	chartVersion = regexp.MustCompile(`(?m)^version: .*$`)
	appVersion   = regexp.MustCompile(`(?m)^appVersion: .*$`)
	registry     = regexp.MustCompile(`(?m)^imageRegistry: .*$`)
)

// stampChart returns the description with the version of the release, as that of the chart and as that of the programs. The latter is the
// default tag of images.
func stampChart(description, version string) (string, error) {
	for _, line := range []*regexp.Regexp{chartVersion, appVersion} {
		if len(line.FindAllString(description, -1)) != 1 {
			return "", fmt.Errorf("%s has no line %s", chartFile, line)
		}
	}
	description = chartVersion.ReplaceAllString(description, "version: "+strings.TrimPrefix(version, "v"))
	return appVersion.ReplaceAllString(description, "appVersion: "+version), nil
}

// stampValues returns the values with the images as they were pushed, if they were: by their digests. Who has copied them elsewhere still
// has to set imageRegistry only.
func stampValues(values string, images []imageRecord) (string, error) {
	for _, image := range images {
		name, digest, pushed := strings.Cut(image.Pushed, "@")
		line := regexp.MustCompile(`(?s)\n    repository: ` + regexp.QuoteMeta(image.Name) + `\n(.*?)\n    digest: ""\n`)
		if !pushed || !line.MatchString(values) { // the chart does not have every image
			continue
		}
		host, repository, found := strings.Cut(strings.TrimSuffix(name, ":"+image.Tag), "/")
		if len(registry.FindAllString(values, -1)) != 1 || !found {
			return "", fmt.Errorf("%s has no line %s for %s", valuesFile, registry, name)
		}
		values = registry.ReplaceAllLiteralString(values, "imageRegistry: "+host)
		values = line.ReplaceAllString(values, "\n    repository: "+repository+"\n$1\n    digest: "+digest+"\n")
	}
	return values, nil
}
