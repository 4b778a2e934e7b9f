package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// figures are what was measured, by name, one for each run.
type figures map[string][]float64

func (f figures) add(name string, value float64) { f[name] = append(f[name], value) }

func (f figures) tell(out io.Writer, path string) error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		fmt.Fprintf(out, "%s: %.1f\n", name, median(f[name]))
	}
	if path == "" {
		return nil
	}
	encoded, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, encoded, 0o600)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}
