package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// TestMetricsAreDocumented: docs/reference/metrics.md has a row for each metric of the validator, with its labels, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	labels := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(keyward_validator_[a-z_]+|keyward_build_info)({([a-z_, ]+)})?`").FindAllSubmatch(page, -1) {
		documented = append(documented, string(row[1]))
		labels[string(row[1])] = string(row[3])
	}
	keys := filepath.Join(t.TempDir(), "key.pem")
	fixture.PrincipalKey(t, keys)
	config := configFor(t, fakemanager.Start(t), "--upstream=http://127.0.0.1:1", "--envoy-access-log", "--principal-key-file="+keys)
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
			t.Errorf("%s has no row in docs/reference/metrics.md", name[1])
		}
		if got := labelsOf(desc); got != labels[name[1]] {
			t.Errorf("%s has the labels {%s}, docs/reference/metrics.md has {%s}", name[1], got, labels[name[1]])
		}
	}
	for _, name := range documented {
		if !slices.Contains(names, name) {
			t.Errorf("docs/reference/metrics.md has a row for %s, which there is not", name)
		}
	}
	if problems, err := testutil.GatherAndLint(s.registry, names...); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// labelsOf returns the names of the labels of a metric, as the page lists them.
func labelsOf(desc *prometheus.Desc) string {
	var names []string
	for _, constant := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(desc.String(), -1) {
		names = append(names, constant[1])
	}
	if variable := regexp.MustCompile(`variableLabels: {([a-z_,]+)}`).FindStringSubmatch(desc.String()); variable != nil {
		names = append(names, strings.Split(variable[1], ",")...)
	}
	return strings.Join(names, ", ")
}
