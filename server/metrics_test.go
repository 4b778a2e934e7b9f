package server

import (
	"log/slog"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyward-dev/keyward/test/fakemanager"
)

// TestMetricsAreDocumented: docs/operations.md has a row for each metric of the validator, and no other row.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(keyward_validator_[a-z_]+)").FindAllSubmatch(page, -1) {
		documented = append(documented, string(row[1]))
	}
	config := configFor(t, fakemanager.Start(t), "--upstream=http://127.0.0.1:1", "--envoy-access-log")
	s, err := New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.closeListeners()
	var names []string
	descs := make(chan *prometheus.Desc)
	go func() { s.registry.Describe(descs); close(descs) }()
	for desc := range descs {
		name := regexp.MustCompile(`fqName: "(keyward_[a-z_]+)"`).FindStringSubmatch(desc.String())
		if name == nil {
			continue
		}
		names = append(names, name[1])
		if !slices.Contains(documented, name[1]) {
			t.Errorf("%s has no row in docs/operations.md", name[1])
		}
	}
	for _, name := range documented {
		if !slices.Contains(names, name) {
			t.Errorf("docs/operations.md has a row for %s, which there is not", name)
		}
	}
	if problems, err := testutil.GatherAndLint(s.registry, names...); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
