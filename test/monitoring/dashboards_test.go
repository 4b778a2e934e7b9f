package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dashboard is what tests read of a Grafana dashboard.
type dashboard struct {
	title, uid string
	panels     []panel
	queries    []panelQuery
}

// panel is a panel that shows values.
type panel struct {
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Datasource  struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
	Panels []panel `json:"panels"`
}

// panelQuery is an expression, and where it is.
type panelQuery struct{ panel, expr string }

var labelValues = regexp.MustCompile(`^label_values\((.+), ([a-z]+)\)$`)

func readDashboards(t *testing.T) (all []dashboard) {
	t.Helper()
	paths, err := filepath.Glob(config + "dashboards/*.json")
	if err != nil || len(paths) != 3 {
		t.Fatalf("%v, %d dashboards, want 3", err, len(paths))
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Title      string  `json:"title"`
			UID        string  `json:"uid"`
			Panels     []panel `json:"panels"`
			Templating struct {
				List []struct {
					Name  string `json:"name"`
					Type  string `json:"type"`
					Query any    `json:"query"`
				} `json:"list"`
			} `json:"templating"`
		}
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		d := dashboard{title: file.Title, uid: file.UID}
		for _, p := range file.Panels {
			for _, one := range append(p.Panels, p) {
				if one.Type == "row" {
					continue
				}
				d.panels = append(d.panels, one)
				for _, target := range one.Targets {
					d.queries = append(d.queries, panelQuery{one.Title, target.Expr})
				}
			}
		}
		for _, variable := range file.Templating.List {
			if query, is := variable.Query.(string); is && variable.Type == "query" {
				values := labelValues.FindStringSubmatch(query)
				if values == nil {
					t.Fatalf("%s: the variable %s has the query %q", path, variable.Name, query)
				}
				d.queries = append(d.queries, panelQuery{"$" + variable.Name, "count by (" + values[2] + ") (" + values[1] + ")"})
			}
		}
		if d.uid+".json" != filepath.Base(path) {
			t.Errorf("%s has the uid %s", path, d.uid)
		}
		all = append(all, d)
	}
	return all
}

// TestPanelsAreExplained: each panel has a title, a description, a unit, the chosen data source, and a query.
func TestPanelsAreExplained(t *testing.T) {
	for _, d := range readDashboards(t) {
		for _, p := range d.panels {
			if p.Title == "" || !strings.HasSuffix(p.Description, ".") || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("%s: panel %q lacks something: description %q, unit %q, %d queries", d.title, p.Title, p.Description,
					p.FieldConfig.Defaults.Unit, len(p.Targets))
			}
			if p.Datasource.UID != "$datasource" {
				t.Errorf("%s: panel %q has the data source %q", d.title, p.Title, p.Datasource.UID)
			}
		}
	}
}

// TestQueriesAreValid: Prometheus accepts the queries of the dashboards.
func TestQueriesAreValid(t *testing.T) {
	dir := t.TempDir()
	var rules []rule
	for _, d := range readDashboards(t) {
		for _, q := range d.queries {
			rules = append(rules, rule{Record: "x", Expr: strings.ReplaceAll(q.expr, "$__rate_interval", "5m"),
				Labels: map[string]string{"panel": d.title + ", " + q.panel + " " + q.expr}})
		}
	}
	write(t, filepath.Join(dir, "queries.yaml"), map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": rules}}})
	promtool(t, dir, "check", "rules", "--lint=none", "queries.yaml")
}
