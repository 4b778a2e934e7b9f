package main

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// TestMetricsAreDocumented: docs/reference/metrics.md has a row for each metric of the manager, and no
// other.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(keyward_[a-z_]+)").FindAllSubmatch(page, -1) {
		if name := string(row[1]); !isOthers.MatchString(name) {
			documented[name] = true
		}
	}
	names := registered(t)
	for _, name := range names {
		if !documented[name] {
			t.Errorf("%s has no row in docs/reference/metrics.md", name)
		}
	}
	for name := range documented {
		if !slices.Contains(names, name) {
			t.Errorf("docs/reference/metrics.md has a row for %s, which there is not", name)
		}
	}
	if problems, err := testutil.GatherAndLint(metrics.Registry, names...); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// isOthers are those of the other programs, whose tests know them.
var isOthers = regexp.MustCompile("^keyward_(validator|console)_")

// registered are the names of our metrics, those without series included.
func registered(t *testing.T) (names []string) {
	t.Helper()
	registry, ok := metrics.Registry.(prometheus.Collector)
	if !ok {
		t.Fatal("the registry does not describe itself")
	}
	descs := make(chan *prometheus.Desc)
	go func() { registry.Describe(descs); close(descs) }()
	for desc := range descs {
		if name := regexp.MustCompile(`fqName: "(keyward_[a-z_]+)"`).FindStringSubmatch(desc.String()); name != nil {
			names = append(names, name[1])
		}
	}
	return names
}
