package plugin

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/adminapi"
	"github.com/keyward-dev/keyward/server/adminapi/originapi"
	"github.com/keyward-dev/keyward/server/decision"
)

// groupsOfServer are Groups as a validation server has them.
type groupsOfServer []*decision.Group

func (groupsOfServer) Synced() bool { return true }

func (g groupsOfServer) WithProject(project, group string, _ int) (found []*decision.Group, more int) {
	for _, known := range g {
		if known.ProjectNamed(project) != nil && (group == "" || group == known.Identity) {
			found = append(found, known)
		}
	}
	return found, 0
}

// checking serves checks of origins as a validation server does, for a Group with these domains in its project web.
func checking(t *testing.T, identity string, domains ...string) (at, tokenFile string) {
	t.Helper()
	project := decision.Project{Name: "web", Origins: decision.Origins{AllowLocalhost: true}}
	for _, domain := range domains {
		p, err := origin.ParsePattern(domain)
		if err != nil {
			t.Fatal(err)
		}
		project.Origins.Patterns = append(project.Origins.Patterns, p)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(adminToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	groups := groupsOfServer{{Identity: identity, Projects: []decision.Project{project}}}
	mux := http.NewServeMux()
	mux.Handle(adminv1.CheckOriginPath, adminapi.RequireToken(file, slog.New(slog.DiscardHandler), originapi.Handler(groups)))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, file
}

func TestCheckOrigin(t *testing.T) {
	namespace(t, "origins")
	for name, domains := range map[string][]string{"site": {"ACME.example", "*.acme.example"}, "shop": {"https://acme.example", "acme.example"}} {
		list := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: "origins", Name: name}}
		list.Spec.GroupRef.Name, list.Spec.Projects, list.Spec.Domains = "acme", []v1alpha1.ProjectName{"web"}, domains
		list.Spec.AllowLocalhost = ptr.To(name == "site")
		if err := admin.Create(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	first, file := checking(t, "origins/acme", "acme.example", "*.acme.example")
	second, _ := checking(t, "origins/acme", "acme.example", "*.acme.example")
	other, _ := checking(t, "origins/acme", "acme.example")
	ask := func(args ...string) result {
		t.Helper()
		r := keyward(t, "", append(append([]string{"check-origin"}, args...), "--token-file", file)...)
		return r.lacks(t, adminToken)
	}
	both := []string{"--project", "web", "--url", first, "--url", second}
	with := func(origin string, more ...string) []string {
		return append(append([]string{origin}, both...), more...)
	}
	ask(with("https://acme.example/page")...).expect(t, 0, "Allowed: https://acme.example may use project web of Group origins/acme",
		"by the domain acme.example of DomainAllowlist origins/shop, origins/site").lacks(t, "has it")
	ask(with("https://www.acme.example")...).expect(t, 0, "by the domain *.acme.example of DomainAllowlist origins/site")
	ask(with("http://localhost:3000")...).expect(t, 0, "by allowLocalhost of DomainAllowlist origins/site")
	ask(with("https://acme.example:8443")...).expect(t, ExitRefused, "Not allowed: https://acme.example:8443 may not use project web",
		"acme.example is listed, but it is for another port")
	ask(with("capacitor://localhost")...).expect(t, ExitRefused, "None of the 2 domains")
	ask(with("https://acme.example", "-o", "json")...).expect(t, 0, `"allowed": true`, `"domain": "acme.example"`, `"asked": 2`, `"origins/shop"`)
	ask(with("https://acme.example", "--group", "origins/other")...).expect(t, ExitError, "the 2 servers that answered know no Group")
	ask(with("null")...).expect(t, ExitError, "never allowed")
	ask("https://www.acme.example", "--project", "web", "--url", first, "--url", other).expect(t, ExitRefused,
		"Allowed: https://www.acme.example may use project web of Group origins/acme, as "+strings.TrimPrefix(first, "http://")+" has it",
		"Not allowed: https://www.acme.example", strings.TrimPrefix(other, "http://")+" has it", "*.acme.example would be for its subdomains")
	ask("https://acme.example").expect(t, ExitUsage, "--project")
	ask("https://acme.example", "--project", "web", "--group", "acme").expect(t, ExitUsage, "NAMESPACE/NAME")
	older := httptest.NewServer(http.NotFoundHandler())
	defer older.Close()
	ask("https://acme.example", "--project", "web", "--url", older.URL).expect(t, ExitError, "it is of an earlier release")
}
