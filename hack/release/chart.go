package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/keyward-dev/keyward/hack/release/archive"
)

// chartFile is the description of a chart, in its directory.
const chartFile = "Chart.yaml"

// writeChart packages the Helm chart. helm package would write other bytes each time.
func (r *release) writeChart() error {
	dir := filepath.Join(r.root, "charts", "keyward")
	description, err := os.ReadFile(filepath.Join(dir, chartFile))
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("there is no charts/keyward: the release has no chart")
		return nil
	}
	if err != nil {
		return err
	}
	stamped, err := stampChart(string(description), r.version)
	if err != nil {
		return err
	}
	// Helm reads the description first.
	files := []archive.File{{Name: "keyward/" + chartFile, Content: []byte(stamped)}}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && name != chartFile {
			files = append(files, archive.File{Name: "keyward/" + filepath.ToSlash(name), Path: path})
		}
		return err
	})
	if err != nil {
		return err
	}
	name := "keyward-" + strings.TrimPrefix(r.version, "v") + ".tgz"
	fmt.Println(name)
	return archive.Write(filepath.Join(r.dist, name), r.created, files)
}

var (
	chartVersion = regexp.MustCompile(`(?m)^version: .*$`)
	appVersion   = regexp.MustCompile(`(?m)^appVersion: .*$`)
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
