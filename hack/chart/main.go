// Command chart writes the generated parts of charts/keyward: objects of config/ that the chart has, too, and the schema and the
// table of its values, from the comments in values.yaml.
//
//	go run ./hack/chart
package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

const chartDir = "charts/keyward"

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// run writes the files below the root of the repository, and removes those of objects that no longer exist.
func run(root string) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	for _, dir := range generatedDirs {
		if err := os.RemoveAll(filepath.Join(root, chartDir, dir)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, chartDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil { //nolint:gosec // as git has it
			return err
		}
	}
	return nil
}

// generate returns the generated files by their names in the chart.
func generate(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	if err := copyObjects(root, files); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, chartDir, "values.yaml"))
	if err != nil {
		return nil, err
	}
	values, err := parseValues(text)
	if err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	if files["values.schema.json"], err = values.jsonSchema(); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	page, err := os.ReadFile(filepath.Join(root, chartDir, readme))
	if err != nil {
		return nil, err
	}
	before, rest, found := bytes.Cut(page, []byte(tableBegins))
	_, after, ends := bytes.Cut(rest, []byte(tableEnds))
	if !found || !ends {
		return nil, fmt.Errorf("%s: the lines %q and %q are missing; the table is between them", readme, tableBegins, tableEnds)
	}
	files[readme] = slices.Concat(before, []byte(tableBegins), values.table(), []byte(tableEnds), after)
	return files, nil
}
