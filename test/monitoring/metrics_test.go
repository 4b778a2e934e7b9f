package monitoring

import (
	"io"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	_ "github.com/keyward-dev/keyward/controllers" // registers the manager's metrics
	"github.com/keyward-dev/keyward/internal/decisioncode"
	"github.com/keyward-dev/keyward/server"
	"github.com/keyward-dev/keyward/server/options"
	"github.com/keyward-dev/keyward/test/fakemanager"
)

// targetLabels are those that Prometheus adds to each series that it scrapes.
var targetLabels = []string{"namespace", "pod", "job", "instance", "container", "service", "endpoint"}

var (
	described      = regexp.MustCompile(`fqName: "([^"]+)"`)
	constantLabels = regexp.MustCompile(`([a-z_]+)="`)
	variableLabels = regexp.MustCompile(`variableLabels: {([a-z_,]*)}`)
)

// exported returns the labels of each metric that manager and validator export, by its name, from their registries.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	m := fakemanager.Start(t)
	config, err := options.Parse([]string{
		"--proxy-bind-address=127.0.0.1:0", "--http-bind-address=127.0.0.1:0", "--grpc-bind-address=127.0.0.1:0",
		"--admin-bind-address=127.0.0.1:0", "--upstream=http://127.0.0.1:1", "--envoy-access-log",
		"--sync-address=" + m.Address, "--sync-ca-file=" + m.CAFile, "--sync-token-file=" + m.TokenFile,
	}, "validator-0", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	validator, err := server.New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	manager, ok := metrics.Registry.(prometheus.Collector)
	if !ok {
		t.Fatal("the manager's registry does not describe itself")
	}
	labels := map[string][]string{}
	for _, describe := range []func(chan<- *prometheus.Desc){validator.Describe, manager.Describe} {
		descs := make(chan *prometheus.Desc)
		go func() { describe(descs); close(descs) }()
		for desc := range descs {
			text := desc.String()
			name := described.FindStringSubmatch(text)[1]
			for _, constant := range constantLabels.FindAllStringSubmatch(text, -1) {
				labels[name] = append(labels[name], constant[1])
			}
			if variable := variableLabels.FindStringSubmatch(text); variable != nil && variable[1] != "" {
				labels[name] = append(labels[name], strings.Split(variable[1], ",")...)
			}
			labels[name] = append(labels[name], targetLabels...)
		}
	}
	if len(labels["keyward_validator_decisions_total"]) == 0 || len(labels["keyward_sync_servers"]) == 0 {
		t.Fatalf("metrics are missing: %v", slices.Sorted(maps.Keys(labels)))
	}
	return labels
}

// labelsOf returns the labels of a metric, of which a histogram has several.
func labelsOf(known map[string][]string, metric string) (labels []string, exists bool) {
	if labels, exists = known[metric]; exists {
		return labels, true
	}
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		base, is := strings.CutSuffix(metric, part)
		if labels, exists = known[base]; is && exists && strings.HasSuffix(base, "_seconds") {
			return append(slices.Clone(labels), "le"), true
		}
	}
	return nil, false
}

// problems returns what is wrong with an expression: metrics that do not exist, labels that they do not have, and codes that no
// decision has.
func problems(known map[string][]string, text string) (all []string) {
	e := parseExpression(text)
	if len(e.selectors) == 0 {
		all = append(all, "it selects no metric")
	}
	either := slices.Clone(e.replaced)
	for _, s := range e.selectors {
		labels, exists := labelsOf(known, s.metric)
		if !exists {
			all = append(all, "there is no metric "+s.metric)
			continue
		}
		either = append(either, labels...)
		for name, value := range s.labels {
			if !slices.Contains(labels, name) {
				all = append(all, s.metric+" has no label "+name)
			}
			if name != "code" || !strings.Contains(s.metric, "decisions") {
				continue
			}
			for code := range strings.SplitSeq(value, "|") {
				if _, is := decisioncode.Parse(code); !is {
					all = append(all, "there is no decision code "+code)
				}
			}
		}
	}
	for _, name := range e.grouped {
		if !slices.Contains(either, name) {
			all = append(all, "no metric in it has the label "+name)
		}
	}
	return all
}

// withRecorded adds the metrics that rules record, with the labels that they keep.
func withRecorded(known map[string][]string, rules []rule) map[string][]string {
	all := maps.Clone(known)
	for _, r := range rules {
		if r.Record != "" {
			all[r.Record] = slices.DeleteFunc(parseExpression(r.Expr).grouped, func(name string) bool { return name == "le" })
		}
	}
	return all
}

// TestMetricsOfRulesExist: what rules ask for is exported by the programs, or recorded, with these labels.
func TestMetricsOfRulesExist(t *testing.T) {
	rules := readRules(t)
	known := withRecorded(exported(t), rules)
	for _, r := range rules {
		for _, problem := range problems(known, r.Expr) {
			t.Errorf("%s%s: %s", r.Alert, r.Record, problem)
		}
	}
	for _, d := range readDashboards(t) {
		for _, q := range d.queries {
			for _, problem := range problems(known, q.expr) {
				t.Errorf("%s, %s: %s", d.title, q.panel, problem)
			}
		}
	}
}

// TestProblemsAreFound: the check above finds what it is for.
func TestProblemsAreFound(t *testing.T) {
	known := map[string][]string{"decisions_total": {"code", "namespace"}, "took_seconds": {"integration", "namespace"}, "up": {"job"}}
	for text, want := range map[string]string{
		`sum by (namespace) (rate(decisions_total{code=~"allowed|key_missing"}[5m])) > 0`:                 "",
		`histogram_quantile(0.9, sum by (le, integration) (rate(took_seconds_bucket[$__rate_interval])))`: "",
		`max by (kind) (label_replace(up / up, "kind", "x", "", "") or up) and on (job) up`:               "",
		`rate(decision_total[5m])`:                  "there is no metric decision_total",
		`up{pod="x"}`:                               "up has no label pod",
		`sum by (code) (up)`:                        "no metric in it has the label code",
		`up and on (namespace) up`:                  "no metric in it has the label namespace",
		`decisions_total{code!~"no_such_code"} > 1`: "there is no decision code no_such_code",
		`took_seconds{le="1"}`:                      "took_seconds has no label le",
		`up_bucket`:                                 "there is no metric up_bucket",
		`vector(1)`:                                 "it selects no metric",
	} {
		if got := strings.Join(problems(known, text), ", "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
