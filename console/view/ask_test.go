package view

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// askedGroup is a Group that accepts requests from everywhere.
func askedGroup() *v1alpha1.Group {
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme"}}
	group.Spec.Projects = []v1alpha1.Project{{Name: "media"}, {Name: "maps"}}
	group.Spec.Capabilities = []v1alpha1.Capability{{Name: "checkout"}}
	group.Spec.KeyPolicy = v1alpha1.KeyPolicy{Requests: v1alpha1.RequestsManual, DefaultLifetime: "45d", MaxLifetime: "60d"}
	group.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll
	return group
}

func askedFor(change ...func(*EnteredRequest)) *EnteredRequest {
	entered := &EnteredRequest{Namespace: "shop", Name: "web", Group: "acme/acme", Projects: []string{"media"}, Permissions: []string{"read"}, UseCase: " The shop ", Lifetime: "30d"}
	for _, f := range change {
		f(entered)
	}
	return entered
}

func TestAskFor(t *testing.T) {
	got, problems := AskFor(askedGroup(), askedFor())
	want := v1alpha1.KeyRequestSpec{
		GroupRef: v1alpha1.GroupReference{Namespace: "acme", Name: "acme"}, Projects: []v1alpha1.ProjectName{"media"},
		Permissions: []v1alpha1.PermissionName{"read"}, UseCase: "The shop", Lifetime: "30d",
	}
	if len(problems) > 0 || got.Namespace != "shop" || got.Name != "web" || !reflect.DeepEqual(got.Spec, want) {
		t.Errorf("%v, %+v", problems, got)
	}
	yaml, err := RequestYAML(got)
	if err != nil || yaml != "apiVersion: keyward.dev/v1alpha1\nkind: KeyRequest\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  groupRef:\n    name: acme\n"+
		"    namespace: acme\n  lifetime: 30d\n  permissions:\n  - read\n  projects:\n  - media\n  useCase: The shop\n" {
		t.Errorf("%v: %s", err, yaml)
	}
	for _, group := range []string{"acme", "shop/acme"} { // of its own namespace
		own, problems := AskFor(nil, askedFor(func(e *EnteredRequest) { e.Group = group }))
		if len(problems) > 0 || own.Spec.GroupRef != (v1alpha1.GroupReference{Name: "acme"}) {
			t.Errorf("%s: %v, %+v", group, problems, own.Spec.GroupRef)
		}
	}
}

// TestWhatIsWrongWithARequest has each field, and whether it is wrong for who may not see the Group, too.
func TestWhatIsWrongWithARequest(t *testing.T) {
	minted, err := keyformat.Mint("vctrl", strings.NewReader(strings.Repeat("0", 64)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change      func(*EnteredRequest)
		field, says string
		blind       bool
	}{
		"namespace":          {func(e *EnteredRequest) { e.Namespace = "Shop" }, "namespace", "lower-case", true},
		"no namespace":       {func(e *EnteredRequest) { e.Namespace = "" }, "namespace", "lower-case", true},
		"name":               {func(e *EnteredRequest) { e.Name = "Web" }, "name", "lower-case", true},
		"no Group":           {func(e *EnteredRequest) { e.Group = "" }, "group", "a slash", true},
		"two slashes":        {func(e *EnteredRequest) { e.Group = "a/b/c" }, "group", "a slash", true},
		"its namespace":      {func(e *EnteredRequest) { e.Group = "A/acme" }, "group", "a slash", true},
		"no projects":        {func(e *EnteredRequest) { e.Projects = nil }, "projects", "at least one", true},
		"a wildcard":         {func(e *EnteredRequest) { e.Projects = []string{"*"} }, "projects", "lower-case", true},
		"a long name":        {func(e *EnteredRequest) { e.Projects = []string{"media", strings.Repeat("a", 64)} }, "projects", "lower-case", true},
		"named twice":        {func(e *EnteredRequest) { e.Projects = strings.Split("p"+strings.Repeat(",p", 64), ",") }, "", "", true},
		"unknown project":    {func(e *EnteredRequest) { e.Projects = []string{"shop"} }, "projects", "shop", false},
		"unknown permission": {func(e *EnteredRequest) { e.Permissions = []string{"write"} }, "permissions", "write", false},
		"no permissions":     {func(e *EnteredRequest) { e.Permissions = nil }, "permissions", "at least one", true},
		"no use case":        {func(e *EnteredRequest) { e.UseCase = " " }, "useCase", "owner", true},
		"a long use case":    {func(e *EnteredRequest) { e.UseCase = strings.Repeat("ä", 501) }, "useCase", "500", true},
		"a key":              {func(e *EnteredRequest) { e.UseCase = "as " + minted.Reveal() + " does" }, "useCase", "has a key", true},
		"lifetime":           {func(e *EnteredRequest) { e.Lifetime = "Never" }, "lifetime", "such as 90d", true},
		"no time":            {func(e *EnteredRequest) { e.Lifetime = "0s" }, "lifetime", "such as 90d", true},
		"too long":           {func(e *EnteredRequest) { e.Lifetime = "61d" }, "lifetime", "60d", false},
		"default":            {func(e *EnteredRequest) { e.Lifetime = "" }, "", "", false},
	} {
		for _, blind := range []bool{false, true} {
			group := askedGroup()
			group.Spec.Projects = append(group.Spec.Projects, v1alpha1.Project{Name: "p"})
			if blind {
				group = nil
			}
			_, problems := AskFor(group, askedFor(c.change))
			switch wrong := c.field != "" && (c.blind || !blind); {
			case !wrong && len(problems) > 0:
				t.Errorf("%s, who sees the Group: %v: %v", name, !blind, problems)
			case wrong && (len(problems) != 1 || !strings.Contains(problems[c.field], c.says)):
				t.Errorf("%s, who sees the Group: %v: %v", name, !blind, problems)
			}
		}
	}
	many := make([]string, 65)
	for i := range many {
		many[i] = "p" + strings.Repeat("x", i%60) + string(rune('a'+i%26))
	}
	if _, problems := AskFor(nil, askedFor(func(e *EnteredRequest) { e.Projects = many })); problems["projects"] == "" {
		t.Error("65 projects are accepted")
	}
}

func TestFormOfARequest(t *testing.T) {
	values := func(pick page.Pick) (all, marked []string) {
		for _, c := range pick.Of {
			all = append(all, c.Value+"="+c.Text)
			if c.Chosen {
				marked = append(marked, c.Value)
			}
		}
		return all, marked
	}
	form := NewRequest(askedGroup(), askedFor(), map[string]string{"": "It was refused.", "useCase": "Too long."})
	if all, marked := values(form.Projects); !slices.Equal(all, []string{"media=media", "maps=maps"}) || !slices.Equal(marked, []string{"media"}) {
		t.Errorf("%v, %v", all, marked)
	}
	if all, marked := values(form.Permissions); !slices.Equal(all, []string{"read=read", "checkout=checkout"}) || !slices.Equal(marked, []string{"read"}) {
		t.Errorf("%v, %v", all, marked)
	}
	if all, marked := values(form.Lifetime); !slices.Equal(all, []string{"=45 days", "30d=30 days", "60d=60 days"}) || !slices.Equal(marked, []string{"30d"}) {
		t.Errorf("%v, %v", all, marked)
	}
	if form.Back != "/groups/acme/acme" || form.Note != "" || form.Problem != "It was refused." || form.UseCase.Error != "Too long." || form.Group.Value != "acme/acme" {
		t.Errorf("%+v", form)
	}
	blind := NewRequest(nil, askedFor(func(e *EnteredRequest) { e.Projects = []string{"media", "maps"} }), nil)
	if blind.Projects.Of != nil || blind.Projects.Value != "media\nmaps" || blind.Permissions.Value != "read" || blind.Lifetime.Value != "30d" || blind.Back != "/requests" {
		t.Errorf("%+v", blind)
	}
}

func TestDefaultsOfARequest(t *testing.T) {
	entered, group := EnteredRequest{}, askedGroup()
	entered.Defaults(nil)
	if !slices.Equal(entered.Permissions, []string{"read"}) || entered.Projects != nil {
		t.Errorf("%+v", entered)
	}
	entered.Defaults(group)
	if entered.Projects != nil {
		t.Errorf("one of several projects was chosen: %+v", entered)
	}
	group.Spec.Projects = group.Spec.Projects[:1]
	if entered.Defaults(group); !slices.Equal(entered.Projects, []string{"media"}) {
		t.Errorf("%+v", entered)
	}
}

// TestWhatIsKnownToBeRefused says of a Group that one may see what keeps a request from it, and nothing that is not known.
func TestWhatIsKnownToBeRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*v1alpha1.Group)
		namespace string
		says      string
	}{
		"accepted":       {func(*v1alpha1.Group) {}, "shop", ""},
		"automatic":      {func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsAutomatic }, "shop", ""},
		"off":            {func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsOff }, "acme", "at present"},
		"default":        {func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = "" }, "acme", "at present"},
		"only its own":   {func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = "" }, "shop", "from other namespaces"},
		"its own":        {func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromSame }, "acme", ""},
		"not said where": {func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromSame }, "", ""},
		"labels":         {func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromSelector }, "shop", ""},
	} {
		group := askedGroup()
		c.change(group)
		got := NewRequest(group, &EnteredRequest{Namespace: c.namespace}, nil).Note
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestNothingOfAFormIsLost fills forms in with anything: what was entered is in the form that is shown again.
func TestNothingOfAFormIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]string{"media", "maps", "read", "checkout", "Never"}), rapid.String()), 0, 5)
		entered := &EnteredRequest{
			Namespace: rapid.String().Draw(t, "namespace"), Name: rapid.String().Draw(t, "name"), Group: rapid.String().Draw(t, "group"),
			Projects: names.Draw(t, "projects"), Permissions: names.Draw(t, "permissions"), UseCase: rapid.String().Draw(t, "use case"),
			Lifetime: rapid.OneOf(rapid.SampledFrom([]string{"", "30d", "90d"}), rapid.String()).Draw(t, "lifetime"),
		}
		var group *v1alpha1.Group
		if rapid.Bool().Draw(t, "sees the Group") {
			group = askedGroup()
		}
		_, problems := AskFor(group, entered)
		form := NewRequest(group, entered, problems)
		for name, kept := range map[string]bool{
			"namespace": form.Namespace.Value == entered.Namespace, "name": form.Name.Value == entered.Name, "group": form.Group.Value == entered.Group,
			"use case": form.UseCase.Value == entered.UseCase, "projects": keeps(form.Projects, entered.Projects),
			"permissions": keeps(form.Permissions, entered.Permissions), "lifetime": keeps(form.Lifetime, []string{entered.Lifetime}),
		} {
			if !kept {
				t.Fatalf("%s is lost: %+v", name, form)
			}
		}
	})
}

func keeps(pick page.Pick, entered []string) bool {
	if len(pick.Of) == 0 {
		return pick.Value == strings.Join(entered, "\n")
	}
	for _, value := range entered {
		if !slices.ContainsFunc(pick.Of, func(c page.Choice) bool { return c.Value == value && c.Chosen }) {
			return false
		}
	}
	return true
}

var requestTime = time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)

// ownAsked is a request in a state, for the reason.
func ownAsked(state v1alpha1.KeyRequestState, ready metav1.ConditionStatus, message string, verdicts ...v1alpha1.Verdict) *v1alpha1.KeyRequest {
	request, _ := AskFor(nil, askedFor())
	request.CreationTimestamp = metav1.NewTime(requestTime)
	request.Annotations = map[string]string{v1alpha1.AnnotationCreatedBy: "ben"}
	request.Status.State = state
	if message != "" {
		request.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, Reason: "X", Message: message}}
	}
	for i, verdict := range verdicts {
		request.Status.Decided = append([]v1alpha1.Decided{{Verdict: verdict, By: "olga", Reason: "because", At: metav1.NewTime(requestTime.Add(time.Duration(i) * time.Hour))}},
			request.Status.Decided...)
	}
	if state == v1alpha1.KeyRequestIssued {
		request.Status.Key = &v1alpha1.IssuedKey{Name: "web", UID: "key"}
	}
	return request
}

func TestOwnRequest(t *testing.T) {
	for name, c := range map[string]struct {
		request                  *v1alpha1.KeyRequest
		state, problem, verdicts string
	}{
		"new":       {ownAsked("", "", ""), "Pending", "The manager has not looked at the request yet. Load the page again.", ""},
		"waits":     {ownAsked("Pending", "False", "nobody has decided"), "Pending", "Nobody has decided.", ""},
		"approved":  {ownAsked("Approved", "False", "there is an ApiKey web", "Approved"), "Approved", "There is an ApiKey web.", "Approved"},
		"issued":    {ownAsked("Issued", "True", "it was created", "Approved"), "Issued", "", "Approved"},
		"deleted":   {ownAsked("Issued", "False", "the ApiKey was deleted", "Approved"), "Issued", "The ApiKey was deleted.", "Approved"},
		"refused":   {ownAsked("Refused", "False", "it was refused", "Refused"), "Refused", "", "Refused"},
		"withdrawn": {ownAsked("Withdrawn", "False", "it was withdrawn", "Approved", "Withdrawn"), "Withdrawn", "", "Approved Withdrawn"},
		"expired":   {ownAsked("Expired", "False", "nobody decided"), "Expired", "Nobody decided.", ""},
	} {
		got := OwnRequest(c.request, Issue{Deletes: true})
		var verdicts []string
		for _, one := range got.Decided {
			verdicts = append(verdicts, one.State.Text)
		}
		if got.State.Text != c.state || got.Problem != c.problem || strings.Join(verdicts, " ") != c.verdicts || got.Delete != "/requests/shop/web/delete" ||
			got.Group != (page.Link{Text: "acme/acme"}) || got.By != "ben" {
			t.Errorf("%s: %+v", name, got)
		}
		if hasKey := got.Key.Text != ""; hasKey != (name == "issued") || hasKey != (got.Mount.Secret != "") {
			t.Errorf("%s: %+v, %+v", name, got.Key, got.Mount)
		}
	}
	going := ownAsked("Pending", "False", "nobody has decided")
	going.DeletionTimestamp = &metav1.Time{Time: requestTime}
	if got := OwnRequest(going, Issue{Deletes: true}); got.Delete != "" || got.Problem != "The request is being deleted." {
		t.Errorf("%+v", got)
	}
	if got := OwnRequest(ownAsked("Pending", "False", "x"), Issue{}); got.Delete != "" {
		t.Errorf("who may not delete it: %+v", got)
	}
}

// TestKeyOfARequest links to what the person may see, and names the Secret for who may only see the request.
func TestKeyOfARequest(t *testing.T) {
	request, group := ownAsked("Issued", "True", "it was created", "Approved"), askedGroup()
	group.Spec.Projects[0].Routes = []v1alpha1.Route{{Hosts: []string{"cdn.acme.com"}}}
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "key"}}
	key.Spec.Projects, key.Status.SecretRef = []v1alpha1.ProjectName{"media"}, &v1alpha1.SecretReference{Name: "web-secret"}
	key.Status.Versions = []v1alpha1.KeyVersion{{ID: 1, State: v1alpha1.VersionActive}}
	blind := page.Mount{Namespace: "shop", Secret: "web", Item: "api-key", Address: anywhere, Unseen: true}
	for name, c := range map[string]struct {
		known     Issue
		key, href string
		mount     page.Mount
	}{
		"all":         {Issue{Group: group, Key: key}, "/groups/acme/acme/keys/shop/web", "/groups/acme/acme", page.Mount{Namespace: "shop", Secret: "web-secret", Item: "api-key", Address: "https://cdn.acme.com/"}},
		"the key":     {Issue{Key: key}, "", "", page.Mount{Namespace: "shop", Secret: "web-secret", Item: "api-key", Address: anywhere}},
		"the Group":   {Issue{Group: group}, "", "/groups/acme/acme", blind},
		"the request": {Issue{}, "", "", blind},
	} {
		if got := OwnRequest(request, c.known); (got.KeyNow.Text != "") != (c.known.Key != nil) {
			t.Errorf("%s: the state of the key is %+v", name, got.KeyNow)
		}
		if got := OwnRequest(request, c.known); got.Key != (page.Link{Text: "web", Href: c.key}) || got.Group.Href != c.href || got.Mount != c.mount {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestRequestsOfOthersHaveBounds(t *testing.T) {
	request := ownAsked("Pending", "False", strings.Repeat("m", 5000))
	request.Annotations[v1alpha1.AnnotationCreatedBy] = strings.Repeat("b", 5000)
	request.Spec.UseCase = strings.Repeat("u", 500)
	row := OwnRequestRow(request)
	if len(row.UseCase) > 200 || len(row.By) > 1100 || row.Href != "/requests/shop/web" {
		t.Errorf("%+v", row)
	}
	if got := OwnRequest(request, Issue{}); len(got.Problem) > 1100 || len(got.UseCase) != 500 {
		t.Errorf("%d, %d", len(got.Problem), len(got.UseCase))
	}
	if got := DeleteRequest(request); got.Key != "" || got.Action != "/requests/shop/web/delete" || got.Back != "/requests/shop/web" {
		t.Errorf("%+v", got)
	}
	deleted := ownAsked("Issued", "False", "its key was deleted")
	deleted.Status.Conditions[0].Reason = v1alpha1.ReasonKeyDeleted
	for name, c := range map[string]struct {
		request *v1alpha1.KeyRequest
		key     string
		soon    bool
	}{
		"with a key":                         {ownAsked("Issued", "True", "x"), "web", false},
		"approved, the key may be there":     {ownAsked("Approved", "False", "x", v1alpha1.VerdictApproved), "web", true},
		"its key was deleted":                {deleted, "", false},
		"refused":                            {ownAsked("Refused", "False", "x", v1alpha1.VerdictRefused), "", false},
		"undecided, and never was looked at": {ownAsked("", "", ""), "", false},
	} {
		if got := DeleteRequest(c.request); got.Key != c.key || got.Soon != c.soon {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
