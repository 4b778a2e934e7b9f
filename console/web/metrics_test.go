package web_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMetricsAreDocumented: docs/reference/metrics.md has a row for each metric of the console, with its labels, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	document, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	b := install(t).browser().signIn()
	b.get(acme.Of())
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, family := range families {
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		want = append(want, family.GetName()+"{"+strings.Join(labels, ", ")+"}")
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(keyward_console_[^`]+)`").FindAllStringSubmatch(string(document), -1) {
		got = append(got, row[1])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("documented are %q, there are %q", got, want)
	}
}
