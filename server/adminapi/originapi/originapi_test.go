package originapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/decision"
)

// known are Groups that are known.
type known struct {
	groups []*decision.Group
	empty  bool
}

func (k known) Synced() bool { return !k.empty }

func (k known) WithProject(project, group string, most int) (found []*decision.Group, more int) {
	for _, g := range k.groups {
		if g.ProjectNamed(project) != nil && (group == "" || group == g.Identity) {
			found = append(found, g)
		}
	}
	return found[:min(most, len(found))], max(0, len(found)-most)
}

func groupOf(t *testing.T, identity string, localhost bool, domains ...string) *decision.Group {
	t.Helper()
	project := decision.Project{Name: "web", Origins: decision.Origins{AllowLocalhost: localhost}}
	var shared []origin.Pattern
	for _, domain := range domains {
		p, err := origin.ParsePattern(domain)
		if err != nil {
			t.Fatal(err)
		}
		shared = append(shared, p)
	}
	project.Origins.Shared = [][]origin.Pattern{shared}
	return &decision.Group{Identity: identity, Projects: []decision.Project{{Name: "other"}, project}}
}

func ask(t *testing.T, groups Groups, query string) (int, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	Handler(groups).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, adminv1.CheckOriginPath+"?"+query, http.NoBody))
	return recorder.Code, recorder.Body.String()
}

func TestCheckOrigin(t *testing.T) {
	groups := known{groups: []*decision.Group{
		groupOf(t, "a/acme", false, "acme.com", "*.acme.com", "https://app-*.acme.dev"), groupOf(t, "b/open", true, "capacitor://localhost"),
	}}
	for from, want := range map[string][]string{
		"https://acme.com":        {"acme.com, 3 domains", "no, 1 domains"},
		"https://www.acme.com/x?": {"*.acme.com, 3 domains", "no, 1 domains"},
		"https://app-1.acme.dev":  {"https://app-*.acme.dev, 3 domains", "no, 1 domains"},
		"https://web-1.acme.dev":  {"no, 3 domains, near https://app-*.acme.dev: the first label of the host is another", "no, 1 domains"},
		"https://acme.com:8443": {"no, 3 domains, near acme.com: it is for another port: a port that is not the scheme's default has to be " +
			"listed, as in acme.com:8443", "no, 1 domains"},
		"http://localhost:5173": {"no, 3 domains", "localhost, 1 domains"},
		"capacitor://localhost": {"no, 3 domains", "capacitor://localhost, 1 domains"},
	} {
		status, body := ask(t, groups, "project=web&origin="+url.QueryEscape(from))
		var answer adminv1.OriginChecks
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
			t.Fatalf("%s: %d %s", from, status, body)
		}
		var got []string
		for _, c := range answer.Checks {
			says := c.Domain
			switch {
			case c.Localhost:
				says = "localhost"
			case !c.Allowed:
				says = "no"
			}
			says += fmt.Sprintf(", %d domains", c.Domains)
			for _, near := range c.Near {
				says += ", near " + near.Domain + ": " + near.Reason
			}
			if c.Project != "web" || c.Allowed != (c.Domain != "" || c.Localhost) {
				t.Errorf("%s: %+v", from, c)
			}
			got = append(got, says)
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s:\n%q, want\n%q", from, got, want)
		}
	}
	if _, body := ask(t, groups, "project=web&group=b/open&origin=HTTPS://Acme.com."); !strings.HasPrefix(body,
		`{"origin":"https://acme.com","checks":[{"group":"b/open"`) || strings.Contains(body, "a/acme") {
		t.Errorf("of one Group: %s", body)
	}
	if _, body := ask(t, groups, "project=none&origin=https://acme.com"); strings.TrimSpace(body) != `{"origin":"https://acme.com","checks":[]}` {
		t.Errorf("of no Group: %s", body)
	}
}

// TestCheckOriginIsBounded: the owners of Groups decide neither how many are answered nor how long an answer is.
func TestCheckOriginIsBounded(t *testing.T) {
	var many known
	var ports []string
	for port := range 4096 {
		ports = append(ports, fmt.Sprintf("acme.com:%d", 1024+port))
	}
	for i := range adminv1.MaxOriginChecks + 7 {
		many.groups = append(many.groups, groupOf(t, fmt.Sprint("g", i), true, ports...))
	}
	_, body := ask(t, many, "project=web&origin=https://acme.com")
	var answer adminv1.OriginChecks
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Checks) != adminv1.MaxOriginChecks || answer.More != 7 ||
		len(answer.Checks[0].Near) != adminv1.MaxNearDomains || len(body) > 200<<10 {
		t.Errorf("%d bytes, %d checks, %d more: %v", len(body), len(answer.Checks), answer.More, err)
	}
}

func TestCheckOriginExplains(t *testing.T) {
	const good = "&origin=https://acme.com"
	for query, want := range map[string]string{
		"origin=https://acme.com":            "project: it is missing",
		"project=web":                        "origin: write one",
		"project=web&origin=acme.com":        "origin: write one",
		"project=web&origin=null":            "never allowed",
		"project=web&project=web" + good:     "project: give it once",
		"project=web&group=acme" + good:      "namespace/name",
		"project=web&group=" + good:          "namespace/name",
		"project=web&organisation=acme":      "the parameters are origin, project, group",
		"project=web&origin=https://a%zz.de": "not properly encoded",
	} {
		if status, body := ask(t, known{}, query); status != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", query, status, body, want)
		}
	}
	if status, body := ask(t, known{empty: true}, "project=web"+good); status != 503 || !strings.Contains(body, "not_synced") {
		t.Errorf("without a snapshot: %d %s", status, body)
	}
}
