package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// figures are the measured values by name, one value for each run.
type figures map[string][]float64

func (f figures) add(name string, value float64) { f[name] = append(f[name], value) }

// row is a line of the table: a figure divided by another figure of the same run, or the figure alone if it has no
// baseline.
type row struct {
	what         string
	of, baseline string // names of figures
	goal         float64
	atLeast      bool // the goal is, otherwise at most
	unit, format string
}

// of returns the figures of a row, one for each run. It reports whether there are any.
func (f figures) of(r row) (values []float64, complete bool) {
	values = slices.Clone(f[r.of])
	if r.baseline != "" {
		baselines := f[r.baseline]
		values = values[:min(len(values), len(baselines))]
		for i := range values {
			values[i] /= baselines[i]
		}
	}
	return values, len(values) > 0
}

// measured is a row with its results.
type measured struct {
	What   string  `json:"what"`
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
	Bound  string  `json:"bound"`
	Goal   float64 `json:"goal"`
	Unit   string  `json:"unit"`
	Met    bool    `json:"met"`
}

// report writes the table, and all figures to the file if there is one.
func (f figures) report(rows []row, out io.Writer, path string) error {
	var all []measured
	fmt.Fprintln(out, "| what | median | least … most | goal | met |\n|---|---|---|---|---|")
	for _, r := range rows {
		values, complete := f.of(r)
		if !complete {
			continue
		}
		slices.Sort(values)
		t := measured{What: r.what, Median: median(values), Least: values[0], Most: values[len(values)-1], Goal: r.goal, Unit: r.unit}
		t.Met, t.Bound = t.Median <= t.Goal, "≤"
		if r.atLeast {
			t.Met, t.Bound = t.Median >= t.Goal, "≥"
		}
		all = append(all, t)
		format := cmp.Or(r.format, "%.2f")
		number := func(v float64) string { return fmt.Sprintf(format, v) }
		met := "yes"
		if !t.Met {
			met = "**no**"
		}
		fmt.Fprintf(out, "| %s | %s%s | %s … %s | %s %s%s | %s |\n", t.What, number(t.Median), t.Unit, number(t.Least),
			number(t.Most), t.Bound, number(t.Goal), t.Unit, met)
	}
	if path == "" {
		return nil
	}
	encoded, err := json.MarshalIndent(map[string]any{"table": all, "figures": f}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(encoded, '\n'), 0o600)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}
