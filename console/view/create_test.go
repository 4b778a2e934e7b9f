package view

import (
	"maps"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/role"
)

func TestNewKey(t *testing.T) {
	want := page.Create{
		Action: "/groups/acme/acme/new-key", Back: "/groups/acme/acme",
		Projects:    page.Choices{Of: []page.Choice{{Value: "media", Text: "media"}, {Value: "maps", Text: "maps"}}},
		Permissions: page.Choices{Of: []page.Choice{{Value: "read", Text: "read", Chosen: true}, {Value: "checkout", Text: "checkout"}}},
		Clients: page.Choices{Of: []page.Choice{{Value: "Any", Text: "Any", Chosen: true}, {Value: "Browser", Text: "Browsers"},
			{Value: "Server", Text: "Servers"}}},
		Lifetimes: page.Choices{Of: []page.Choice{{Value: "30d", Text: "30 days"}, {Value: "60d", Text: "60 days"},
			{Value: "90d", Text: "90 days", Chosen: true, Recommended: true}}},
		Rotations: page.Choices{Of: []page.Choice{{Text: "on request only", Chosen: true}, {Value: "30d", Text: "every 30 days"},
			{Value: "60d", Text: "every 60 days"}}},
		Reveals: page.Choices{Of: []page.Choice{{Value: "Mounted", Text: "in a Secret that applications mount", Chosen: true},
			{Value: "Once", Text: "once, to whoever claims it"}}},
	}
	if d := gocmp.Diff(want, sight(role.Admin).NewKey(acme(), nil, nil)); d != "" {
		t.Error(d)
	}
	single := sight(role.Admin).NewKey(acme(func(g *v1alpha1.Group) { g.Spec.Projects = nil }), nil, nil)
	if d := gocmp.Diff([]page.Choice{{Value: "default", Text: "default", Chosen: true}}, single.Projects.Of); d != "" {
		t.Error(d)
	}
}

func TestLifetimes(t *testing.T) {
	for name, c := range map[string]struct {
		policy v1alpha1.KeyPolicy
		want   string
	}{
		"nothing declared":     {v1alpha1.KeyPolicy{}, "30d 60d 90d*"},
		"a short default":      {v1alpha1.KeyPolicy{DefaultLifetime: "45d"}, "45d* 30d 60d 90d"},
		"the same, in hours":   {v1alpha1.KeyPolicy{DefaultLifetime: "720h"}, "30d* 60d 90d"},
		"a short maximum":      {v1alpha1.KeyPolicy{MaxLifetime: "7d"}, "7d*"},
		"never is allowed":     {v1alpha1.KeyPolicy{AllowNever: ptr.To(true)}, "30d 60d 90d* Never"},
		"never, and a maximum": {v1alpha1.KeyPolicy{AllowNever: ptr.To(true), MaxLifetime: "30d"}, "30d* Never"},
	} {
		var texts []string
		for _, choice := range sight(role.Admin).NewKey(acme(func(g *v1alpha1.Group) { g.Spec.KeyPolicy = c.policy }), nil, nil).Lifetimes.Of {
			if choice.Chosen != choice.Recommended {
				t.Errorf("%s: %+v", name, choice)
			}
			if choice.Recommended {
				choice.Value += "*"
			}
			texts = append(texts, choice.Value)
		}
		if got := strings.Join(texts, " "); got != c.want {
			t.Errorf("%s: %s, expected %s", name, got, c.want)
		}
	}
}

var filled = EnteredKey{
	Name: "web-shop", Description: "Web: \"shop\"\n", Projects: []string{"media"}, Permissions: []string{"read", "checkout"}, Clients: []string{"Server"},
	Addresses: []string{"192.0.2.0/24", "", " 2001:db8::/32 "}, Lifetime: "60d", Rotation: "30d", Reveal: "Mounted",
}

func TestCreate(t *testing.T) {
	key, problems := sight(role.Admin).Create(acme(), &filled)
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	got, err := KeyYAML(key)
	const want = `apiVersion: keyward.dev/v1alpha1
kind: ApiKey
metadata:
  name: web-shop
  namespace: acme
spec:
  addresses:
  - 192.0.2.0/24
  - 2001:db8::/32
  clients: Server
  description: 'Web: "shop"'
  expiresAfter: 60d
  groupRef:
    name: acme
  permissions:
  - read
  - checkout
  projects:
  - media
  rotation:
    every: 30d
  secret:
    reveal: Mounted
`
	if d := gocmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	form := sight(role.Admin).NewKey(acme(), &filled, problems)
	if form.Name.Value != "web-shop" || !form.Projects.Of[0].Chosen || form.Projects.Of[1].Chosen || !form.Lifetimes.Of[1].Chosen ||
		form.Lifetimes.Of[2].Chosen || !form.Rotations.Of[1].Chosen || !form.Clients.Of[2].Chosen {
		t.Errorf("what was entered is lost: %+v", form)
	}
}

func TestCreateRefused(t *testing.T) {
	long := strings.Repeat("é", 501)
	for name, c := range map[string]struct {
		change func(*EnteredKey)
		group  func(*v1alpha1.Group)
		want   string // the fields with problems
	}{
		"an empty form":             {change: func(e *EnteredKey) { *e = EnteredKey{} }, want: "lifetime name permissions projects"},
		"no name":                   {change: func(e *EnteredKey) { e.Name = "Web Shop" }, want: "name"},
		"long":                      {change: func(e *EnteredKey) { e.Description = long }, want: "description"},
		"unknown project":           {change: func(e *EnteredKey) { e.Projects = []string{"media", "other"} }, want: "projects"},
		"unknown permission":        {change: func(e *EnteredKey) { e.Permissions = []string{"write"} }, want: "permissions"},
		"unknown client":            {change: func(e *EnteredKey) { e.Clients = []string{"Any", "Browser"} }, want: "clients"},
		"no prefix":                 {change: func(e *EnteredKey) { e.Addresses = []string{"192.0.2.1"} }, want: "addresses"},
		"bits after it":             {change: func(e *EnteredKey) { e.Addresses = []string{"192.0.2.1/24"} }, want: "addresses"},
		"all addresses":             {change: func(e *EnteredKey) { e.Addresses = []string{"::/0"} }, want: "addresses"},
		"too many addresses":        {change: func(e *EnteredKey) { e.Addresses = slices.Repeat([]string{"192.0.2.1/32"}, 65) }, want: "addresses"},
		"longer than is allowed":    {change: func(e *EnteredKey) { e.Lifetime = "91d" }, want: "lifetime"},
		"never":                     {change: func(e *EnteredKey) { e.Lifetime = "Never" }, want: "lifetime"},
		"no lifetime":               {change: func(e *EnteredKey) { e.Lifetime = "soon" }, want: "lifetime"},
		"no rotation":               {change: func(e *EnteredKey) { e.Rotation = "often" }, want: "rotation"},
		"rotates, and is seen once": {change: func(e *EnteredKey) { e.Reveal = "Once" }, want: "rotation"},
		"unknown reveal":            {change: func(e *EnteredKey) { e.Reveal = "Always" }, want: "reveal"},
		"addresses are required": {change: func(e *EnteredKey) { e.Addresses = nil },
			group: func(g *v1alpha1.Group) { g.Spec.KeyPolicy.RequireAddresses = ptr.To(true) }, want: "addresses"},
	} {
		entered, group := filled, acme()
		c.change(&entered)
		if c.group != nil {
			c.group(group)
		}
		key, problems := sight(role.Admin).Create(group, &entered)
		if got := strings.Join(slices.Sorted(maps.Keys(problems)), " "); got != c.want {
			t.Errorf("%s: %q, expected %q: %v", name, got, c.want, problems)
		}
		if yaml, err := KeyYAML(key); err != nil || yaml == "" {
			t.Errorf("%s: no YAML: %v", name, err)
		}
		form := sight(role.Admin).NewKey(group, &entered, problems)
		shown := map[string]string{"name": form.Name.Error, "description": form.Description.Error, "projects": form.Projects.Error,
			"permissions": form.Permissions.Error, "clients": form.Clients.Error, "addresses": form.Addresses.Error, "lifetime": form.Lifetimes.Error,
			"rotation": form.Rotations.Error, "reveal": form.Reveals.Error}
		maps.DeleteFunc(shown, func(_, text string) bool { return text == "" })
		if d := gocmp.Diff(problems, shown); d != "" {
			t.Errorf("%s: not all is shown:\n%s", name, d)
		}
	}
}

func TestFormField(t *testing.T) {
	for path, want := range map[string]string{
		"spec.projects[3]": "projects", "spec.projects": "projects", "spec.rotation.every": "rotation", "metadata.name": "name", "spec.domains[0]": "domains",
		"spec.projectsOther": "", "spec": "", "": "", "spec.secret.template": "",
	} {
		if got := FormField(path); got != want {
			t.Errorf("%s: %q, expected %q", path, got, want)
		}
	}
}
