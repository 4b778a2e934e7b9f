package monitoring

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const config = "../../config/monitoring/"

// rule records a metric, or is an alert.
type rule struct {
	Record      string            `json:"record,omitempty"`
	Alert       string            `json:"alert,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// ruleFile is a file of rules as Prometheus reads it; a PrometheusRule has it as its spec.
type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

func readRuleFile(t *testing.T) ruleFile {
	t.Helper()
	text, err := os.ReadFile(config + "rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       ruleFile       `json:"spec"`
	}
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		t.Fatal(err)
	}
	if object.APIVersion != "monitoring.coreos.com/v1" || object.Kind != "PrometheusRule" {
		t.Fatalf("it is a %s of %s", object.Kind, object.APIVersion)
	}
	return object.Spec
}

func readRules(t *testing.T) (all []rule) {
	t.Helper()
	for _, group := range readRuleFile(t).Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// promtool runs Prometheus' promtool, of any version since 2.42, which CI installs. Elsewhere its tests are skipped if it is missing.
func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	switch {
	case err != nil && os.Getenv("KEYWARD_PROMTOOL") == "required":
		t.Fatal("promtool is missing: install the package prometheus")
	case err != nil:
		t.Skip("promtool is not installed")
	}
	command := exec.CommandContext(t.Context(), path, args...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func write(t *testing.T, path string, content any) {
	t.Helper()
	text, err := yaml.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRulesAreValid: Prometheus accepts the rules as they are shipped.
func TestRulesAreValid(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yaml"), readRuleFile(t))
	promtool(t, dir, "check", "rules", "rules.yaml")
}

// TestAlerts runs testdata/alerts.yaml. The annotations that have no values in them are left out.
func TestAlerts(t *testing.T) {
	dir := t.TempDir()
	rules := readRuleFile(t)
	for _, group := range rules.Groups {
		for i := range group.Rules {
			delete(group.Rules[i].Annotations, "description")
			delete(group.Rules[i].Annotations, "runbook_url")
		}
	}
	write(t, filepath.Join(dir, "rules.yaml"), rules)
	tests, err := os.ReadFile("testdata/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "alerts.yaml"), tests, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, dir, "test", "rules", "alerts.yaml")
}

// TestAlertsAreTested: for each alert, the tests have a time at which it fires, and one at which it does not.
func TestAlertsAreTested(t *testing.T) {
	text, err := os.ReadFile("testdata/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Cases []struct {
				Alert    string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			fires[c.Alert] = fires[c.Alert] || len(c.Expected) > 0
			quiet[c.Alert] = quiet[c.Alert] || len(c.Expected) == 0
		}
	}
	var alerts []string
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		alerts = append(alerts, r.Alert)
		if !fires[r.Alert] || !quiet[r.Alert] {
			t.Errorf("%s: tested firing: %v, not firing: %v", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
	for name := range fires {
		if !slices.Contains(alerts, name) {
			t.Errorf("there is no alert %s", name)
		}
	}
}

var (
	runbook = regexp.MustCompile(`^https://keyward\.dev/docs/([a-z-]+)/#([a-z0-9-]+)$`)
	heading = regexp.MustCompile(`(?m)^### (\S+)$`)
)

// TestAlertsSayWhatToDo: each alert has a summary, what to do, a severity, and a section of a page; and each section is of an alert.
func TestAlertsSayWhatToDo(t *testing.T) {
	sections := map[string]bool{} // of the page of runbooks: whether an alert leads to it
	page, err := os.ReadFile("../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range heading.FindAllSubmatch(page, -1) {
		sections[string(found[1])] = false
	}
	names := map[string]bool{}
	for _, r := range readRules(t) {
		if r.Alert == "" {
			if len(r.Annotations) > 0 || !strings.Contains(r.Record, ":") {
				t.Errorf("%s: name it level:metric:operation, without annotations", r.Record)
			}
			continue
		}
		if names[r.Alert] || !strings.HasPrefix(r.Alert, "Keyward") {
			t.Errorf("%s: the name is not unique, or does not begin with Keyward", r.Alert)
		}
		names[r.Alert] = true
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
		}
		for _, name := range []string{"summary", "description"} {
			if text := r.Annotations[name]; len(text) < 20 || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: the %s is not a sentence: %q", r.Alert, name, text)
			}
		}
		if strings.Contains(r.Annotations["description"], "{{") {
			t.Errorf("%s: put values into the summary, which is tested", r.Alert)
		}
		url := runbook.FindStringSubmatch(r.Annotations["runbook_url"])
		if _, exists := sections[r.Alert]; url == nil || url[1] != "runbooks" || url[2] != strings.ToLower(r.Alert) || !exists {
			t.Errorf("%s: runbook_url %q does not lead to its section in docs/runbooks.md", r.Alert, r.Annotations["runbook_url"])
		}
		sections[r.Alert] = true
	}
	for name, used := range sections {
		if !used {
			t.Errorf("docs/runbooks.md has a section %s, which no alert leads to", name)
		}
	}
	if bytes.Contains(page, []byte("\t")) {
		t.Error("the page has tabs")
	}
}
