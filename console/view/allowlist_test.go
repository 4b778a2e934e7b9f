package view

import (
	"maps"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/role"
)

func shop(change ...func(*v1alpha1.DomainAllowlist)) *v1alpha1.DomainAllowlist {
	list := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "shop", UID: "u", Generation: 3}}
	list.Spec = v1alpha1.DomainAllowlistSpec{
		GroupRef: v1alpha1.GroupReference{Name: "acme"}, Projects: []v1alpha1.ProjectName{"media"},
		Domains: []string{"acme.example", "*.acme.example", "https://shop.example:8443"}, AllowLocalhost: ptr.To(false),
		MissingOrigin: v1alpha1.MissingOriginDeny,
	}
	for _, f := range change {
		f(list)
	}
	return list
}

func TestAllowlist(t *testing.T) {
	want := page.Allowlist{
		Action: "/groups/acme/acme/allowlists/acme/shop", Back: "/groups/acme/acme/allowlists", Version: "u.3",
		Domains:  page.Input{Value: "acme.example\n*.acme.example\nhttps://shop.example:8443"},
		Projects: page.Choices{Of: []page.Choice{{Value: "media", Text: "media", Chosen: true}, {Value: "maps", Text: "maps"}}},
		Missing:  page.Choices{Of: []page.Choice{{Value: "Deny", Text: "are refused", Chosen: true}, {Value: "Allow", Text: "are accepted"}}},
	}
	if d := gocmp.Diff(want, sight(role.Member).Allowlist(acme(), shop(), nil, nil)); d != "" {
		t.Error(d)
	}
	// A viewer changes nothing, and may check sites: what is checked is what is saved.
	forged := &EnteredAllowlist{Domains: []string{"evil.example"}, Localhost: true, Missing: "Allow", Site: "https://evil.example"}
	want.ReadOnly, want.Managed, want.Site.Value = true, "Flux", "https://evil.example"
	want.Verdict = &page.Verdict{Origin: "https://evil.example", Why: "No site of this allowlist is like it. Another allowlist of the same project may allow it."}
	list := shop(func(l *v1alpha1.DomainAllowlist) {
		l.Labels = map[string]string{"kustomize.toolkit.fluxcd.io/name": "keys"}
	})
	if d := gocmp.Diff(want, sight(role.Viewer).Allowlist(acme(), list, forged, nil)); d != "" {
		t.Error(d)
	}
	if got := sight(role.Member).Allowlist(acme(), shop(), &EnteredAllowlist{Version: "u.2"}, nil).Version; got != "u.2" {
		t.Errorf("the form that was filled in becomes that of version %s", got)
	}
	all := sight(role.Member).Allowlist(acme(), shop(func(l *v1alpha1.DomainAllowlist) {
		l.Namespace, l.Spec.Projects, l.Spec.AllowLocalhost = "web", []v1alpha1.ProjectName{"maps", "media"}, nil
	}), nil, map[string]string{"": "Not saved.", "site": "No."})
	if all.Projects.Of[0].Chosen || all.Projects.Of[1].Chosen || !all.Localhost || all.Problem != "Not saved." || all.Site.Error != "No." {
		t.Errorf("for all projects: %+v", all)
	}
}

// TestSharedSites: the editor warns as admission does, of what is stored as of what was entered.
func TestSharedSites(t *testing.T) {
	group, list := &v1alpha1.Group{}, &v1alpha1.DomainAllowlist{}
	list.Spec.Domains = []string{"acme.example", "https://*.github.io"}
	const strangers = "spec.domains[1]: https://*.github.io allows sites of strangers, too: "
	if got := sight(role.Admin).Allowlist(group, list, nil, nil).Warnings; len(got) != 1 || !strings.HasPrefix(got[0], strangers) || got[0] != grant.SharedDomains(list).Warnings()[0] {
		t.Errorf("stored: %q", got)
	}
	for domains, want := range map[string]int{"": 0, "acme.example": 0, "https://*.github.io": 1} {
		entered := &EnteredAllowlist{Domains: strings.Fields(domains)}
		if got := sight(role.Admin).Allowlist(group, list, entered, nil).Warnings; len(got) != want {
			t.Errorf("%q: %q", domains, got)
		}
	}
	many := &EnteredAllowlist{Domains: slices.Repeat([]string{"https://*.github.io"}, 300)}
	if got := sight(role.Admin).Allowlist(group, list, many, nil).Warnings; len(got) != 6 || got[5] != "There are more such sites." {
		t.Errorf("of many: %q", got)
	}
}

func TestAllowlistLink(t *testing.T) {
	if got, want := sight(role.Viewer).AllowlistLink(shop()), (page.Link{Text: "shop", Href: "/groups/acme/acme/allowlists/acme/shop"}); got != want {
		t.Errorf("%+v", got)
	}
	other := shop(func(l *v1alpha1.DomainAllowlist) { l.Namespace = "web" })
	if got, want := sight(role.Viewer).AllowlistLink(other), (page.Link{Text: "web/shop", Href: "/groups/acme/acme/allowlists/web/shop"}); got != want {
		t.Errorf("%+v", got)
	}
}

func TestCheck(t *testing.T) {
	domains := []string{"acme.example", "*.acme.example", "https://shop.example:8443", "capacitor://localhost", "*.com", "no domain!", "MÜNCHEN.example"}
	const other = " Another allowlist of the same project may allow it."
	for site, c := range map[string]struct {
		origin, why string
		passes      bool
		problem     bool
	}{
		"https://acme.example":          {origin: "https://acme.example", passes: true, why: "acme.example allows it."},
		"ACME.example/cart?id=1":        {origin: "https://acme.example", passes: true, why: "acme.example allows it."},
		"http://www.acme.example/":      {origin: "http://www.acme.example", passes: true, why: "*.acme.example allows it."},
		"https://münchen.example":       {origin: "https://xn--mnchen-3ya.example", passes: true, why: "xn--mnchen-3ya.example allows it."},
		"capacitor://localhost":         {origin: "capacitor://localhost", passes: true, why: "capacitor://localhost allows it."},
		"https://shop.example":          {origin: "https://shop.example", why: "https://shop.example:8443 is listed, but it is for another port: a port that is not the scheme's default has to be listed, as in shop.example." + other},
		"https://evilacme.example":      {origin: "https://evilacme.example", why: "No site of this allowlist is like it." + other},
		"https://acme.example.evil.com": {origin: "https://acme.example.evil.com", why: "No site of this allowlist is like it." + other},
		"http://localhost:3000":         {origin: "http://localhost:3000", passes: true, why: "Localhost is allowed."},
		"null":                          {origin: "null", why: "null is what browsers send for sandboxed frames, local files and data: URLs of anybody. It is never allowed."},
		"":                              {problem: true}, "*.acme.example": {problem: true}, "https://u@acme.example": {problem: true}, "https://": {problem: true},
		"javascript:alert(1)": {problem: true}, "https://" + strings.Repeat("a", 2000): {problem: true},
	} {
		verdict, problem := Check(&EnteredAllowlist{Domains: domains, Localhost: true, Site: site})
		if (problem != "") != c.problem || (verdict == nil) != c.problem {
			t.Errorf("%q: %q, %+v", site, problem, verdict)
			continue
		}
		if verdict != nil && *verdict != (page.Verdict{Passes: c.passes, Origin: c.origin, Why: c.why}) {
			t.Errorf("%q: %+v", site, *verdict)
		}
	}
	if verdict, _ := Check(&EnteredAllowlist{Domains: domains, Site: " acme.example\n"}); verdict == nil || !verdict.Passes {
		t.Errorf("with spaces around it: %+v", verdict)
	}
	if verdict, _ := Check(&EnteredAllowlist{Site: "http://127.0.0.1"}); verdict == nil || verdict.Passes || verdict.Why != "Localhost is not allowed here."+other {
		t.Errorf("localhost: %+v", verdict)
	}
}

func TestEdit(t *testing.T) {
	list := shop(func(l *v1alpha1.DomainAllowlist) { l.ResourceVersion = "7" })
	edited, problems := Edit(acme(), list, &EnteredAllowlist{Domains: []string{" acme.example ", "", "*.acme.example"}, Localhost: true, Missing: "Allow"})
	want := shop(func(l *v1alpha1.DomainAllowlist) {
		l.ResourceVersion, l.Spec.Domains, l.Spec.Projects = "7", []string{"acme.example", "*.acme.example"}, []v1alpha1.ProjectName{"media", "maps"}
		l.Spec.AllowLocalhost, l.Spec.MissingOrigin = ptr.To(true), v1alpha1.MissingOriginAllow
	})
	if d := gocmp.Diff(want, edited); d != "" || len(problems) > 0 {
		t.Errorf("%v\n%s", problems, d)
	}
	yaml, err := AllowlistYAML(edited)
	const text = `apiVersion: keyward.dev/v1alpha1
kind: DomainAllowlist
metadata:
  name: shop
  namespace: acme
spec:
  allowLocalhost: true
  domains:
  - acme.example
  - '*.acme.example'
  groupRef:
    name: acme
  missingOrigin: Allow
  projects:
  - media
  - maps
`
	if d := gocmp.Diff(text, yaml); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for name, c := range map[string]struct {
		entered EnteredAllowlist
		want    string
	}{
		"a path":            {EnteredAllowlist{Domains: []string{"acme.example/shop"}}, "domains"},
		"anybody":           {EnteredAllowlist{Domains: []string{"*.co.uk"}}, "domains"},
		"null":              {EnteredAllowlist{Domains: []string{"null"}}, "domains"},
		"twice":             {EnteredAllowlist{Domains: []string{"acme.example", "acme.example"}}, "domains"},
		"too many":          {EnteredAllowlist{Domains: slices.Repeat([]string{"acme.example"}, 100_000)}, "domains"},
		"too long":          {EnteredAllowlist{Domains: []string{strings.Repeat("a", 273)}}, "domains"},
		"another project":   {EnteredAllowlist{Projects: []string{"other"}}, "projects"},
		"another word":      {EnteredAllowlist{Missing: "Perhaps"}, "missing"},
		"nothing is listed": {EnteredAllowlist{}, ""},
	} {
		if edited, problems = Edit(acme(), shop(), &c.entered); strings.Join(slices.Sorted(maps.Keys(problems)), " ") != c.want {
			t.Errorf("%s: %v", name, problems)
		}
		if len(edited.Spec.Domains) > 256 {
			t.Errorf("%s: %d domains", name, len(edited.Spec.Domains))
		}
	}
}
