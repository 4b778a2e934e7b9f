package view

import (
	"reflect"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/role"
)

func TestKey(t *testing.T) {
	const path = "/groups/acme/acme/keys/acme/web"
	want := page.KeyDetail{
		Live: path + "/live", Preview: "kw_…9f3a", Description: "The web shop.", State: page.State{Text: "Active", Tone: page.Good}, Projects: "media, maps",
		Permissions: "read", Clients: "servers, in 192.0.2.0/24", Creator: "ada@acme.example", LastUse: now.Add(-3 * time.Minute),
		Expiry: now.Add(88 * day), Rotation: now.Add(28 * day),
		Actions: []page.Action{{Text: "Rotate", Href: path + "/rotate"}, {Text: "Suspend", Href: path + "/suspend"},
			{Text: "Revoke", Href: path + "/revoke", Destroys: true}},
		Versions: []page.Version{
			{ID: "1", Preview: "kw_…77b0", State: page.State{Text: "Retiring", Tone: page.Warn}, Minted: now.Add(-30 * day), Replaced: now.Add(-2 * day),
				Ends: now.Add(5 * day), LastUse: now.Add(-time.Hour)},
			{ID: "2", Preview: "kw_…9f3a", State: page.State{Text: "Active", Tone: page.Good}, Minted: now.Add(-2 * day), Ends: now.Add(88 * day),
				LastUse: now.Add(-3 * time.Minute)},
		},
		Enforcement: page.Enforcement{Acknowledged: 1, Servers: 3, Took: 3400 * time.Microsecond, Each: []page.Server{
			{Name: "edge-a", State: page.State{Text: "Waited for", Tone: page.Warn}}, {Name: "edge-b", State: page.State{Text: "Not connected", Tone: page.Bad}},
			{Name: "old", State: page.State{Text: "Cannot use it: unknown field", Tone: page.Bad}}}},
		Mount: page.Mount{Namespace: "acme", Secret: "web-secret", Item: "api-key", Address: "https://www.cdn.acme.example/api/scenes/mkt-1"},
	}
	if d := gocmp.Diff(want, sight(role.Admin).Key(acme(), web())); d != "" {
		t.Error(d)
	}
}

// TestKeyRefusals: what was refused of this key, with the hint of the table of codes.
func TestKeyRefusals(t *testing.T) {
	key, recorded := web(), &v1alpha1.GroupUsage{}
	key.Status.KeyID = "k1"
	for _, id := range []string{"k1", "k2"} {
		recorded.Status.RefusedKeys = append(recorded.Status.RefusedKeys, v1alpha1.RefusedKey{
			KeyID: id, Code: "origin_denied", Requests: 12, FirstAt: *at(-5 * time.Hour), LastAt: *at(-9 * time.Minute), Origin: "https://copy.example",
		})
	}
	got := sight(role.Viewer).Refusals(recorded, key)
	if len(got) != 1 || got[0].Times != 12 || got[0].Origin != "https://copy.example" || !got[0].Last.Equal(now.Add(-9*time.Minute)) ||
		!strings.Contains(got[0].Cause, "may not be used from https://copy.example") || !strings.Contains(got[0].Hint, "DomainAllowlist") {
		t.Errorf("%+v", got)
	}
}

// TestActions: what is offered is what the role includes, and what the state permits.
func TestActions(t *testing.T) {
	unclaimed := func(k *v1alpha1.ApiKey) {
		once(k)
		k.Status.Versions = k.Status.Versions[1:]
	}
	for name, c := range map[string]struct {
		role  role.Role
		reads bool
		key   *v1alpha1.ApiKey
		want  string
	}{
		"viewer":              {role.Viewer, true, web(unclaimed), ""},
		"member":              {role.Member, true, web(unclaimed), ""},
		"admin":               {role.Admin, false, web(), "Rotate Suspend Revoke"},
		"owner":               {role.Owner, false, web(), "Rotate Suspend Revoke"},
		"suspended":           {role.Admin, false, web(suspended), "Resume Revoke"},
		"revoked":             {role.Owner, true, web(revoked), ""},
		"expired":             {role.Owner, true, web(state(v1alpha1.KeyExpired)), ""},
		"being deleted":       {role.Owner, true, web(func(k *v1alpha1.ApiKey) { k.DeletionTimestamp = at(0) }), ""},
		"blocked":             {role.Admin, false, web(state(v1alpha1.KeyBlocked)), "Suspend Revoke"},
		"once":                {role.Admin, true, web(unclaimed), "Claim Rotate Suspend Revoke"},
		"once, no Secret":     {role.Admin, false, web(unclaimed), "Rotate Suspend Revoke"},
		"no role":             {"", true, web(), ""},
		"mounted is no claim": {role.Admin, true, web(), "Rotate Suspend Revoke"},
	} {
		s := sight(c.role)
		s.ReadsSecret = c.reads
		var texts []string
		for _, action := range s.Key(acme(), c.key).Actions {
			texts = append(texts, action.Text)
			if want := "/groups/acme/acme/keys/acme/web/" + strings.ToLower(action.Text); action.Href != want {
				t.Errorf("%s: %s leads to %s", name, action.Text, action.Href)
			}
			if action.Destroys != (action.Text == "Revoke") {
				t.Errorf("%s: %s destroys: %t", name, action.Text, action.Destroys)
			}
		}
		if got := strings.Join(texts, " "); got != c.want {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

// TestKeyOfAnotherNamespace: two keys of one name look different.
func TestKeyOfAnotherNamespace(t *testing.T) {
	far := sight(role.Viewer).KeyRow(web(func(k *v1alpha1.ApiKey) { k.Namespace = "shop" }))
	if near := sight(role.Viewer).KeyRow(web()); near.Name != "web" || far.Name != "shop/web" || far.Href != "/groups/acme/acme/keys/shop/web" {
		t.Errorf("%+v, %+v", near, far)
	}
}

func TestKeyStates(t *testing.T) {
	for want, key := range map[page.State]*v1alpha1.ApiKey{
		{Text: "Active", Tone: page.Good}:                  web(),
		{Text: "Being deleted", Tone: page.Off}:            web(func(k *v1alpha1.ApiKey) { k.DeletionTimestamp = at(0) }),
		{Text: "Revoked", Tone: page.Off}:                  web(revoked, with(v1alpha1.ConditionLeaked, metav1.ConditionTrue, "LeakReported", "")),
		{Text: "Expired", Tone: page.Off}:                  web(func(k *v1alpha1.ApiKey) { k.Status.ExpiresAt = at(0) }), // also if no manager has noticed
		{Text: "Leaked", Tone: page.Bad}:                   web(with(v1alpha1.ConditionLeaked, metav1.ConditionTrue, "LeakReported", "")),
		{Text: "Suspended", Tone: page.Bad}:                web(suspended),
		{Text: "Blocked", Tone: page.Bad}:                  web(state(v1alpha1.KeyBlocked)),
		{Text: "Pending", Tone: page.Warn}:                 web(state("")),
		{Text: "To be claimed", Tone: page.Warn}:           web(once),
		{Text: "Expires soon", Tone: page.Warn}:            web(with(v1alpha1.ConditionExpiringSoon, metav1.ConditionTrue, "ExpiresAt", "")),
		{Text: "Unused", Tone: page.Warn}:                  web(with(v1alpha1.ConditionUnused, metav1.ConditionTrue, "NotUsed", "")),
		{Text: "Rotation not taken over", Tone: page.Warn}: web(with(v1alpha1.ConditionCutoverPending, metav1.ConditionTrue, "StillUsed", "")),
	} {
		if got := sight(role.Viewer).KeyRow(key).State; got != want {
			t.Errorf("%v, expected %v", got, want)
		}
	}
}

func TestProblem(t *testing.T) {
	for want, key := range map[string]*v1alpha1.ApiKey{
		"": web(),
		"The manager has not looked at this ApiKey yet.": web(func(k *v1alpha1.ApiKey) { k.Status.Conditions = nil }),
		"The Group is frozen.":                           web(with(v1alpha1.ConditionAccepted, metav1.ConditionFalse, "GroupFrozen", "the Group is frozen")),
		"Version 1 is still used.":                       web(with(v1alpha1.ConditionCutoverPending, metav1.ConditionTrue, "StillUsed", "version 1 is still used.")),
	} {
		if got := sight(role.Viewer).Key(acme(), key).Problem; got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}

// TestMount: only what is in a Secret is said to be there.
func TestMount(t *testing.T) {
	claimed := func(k *v1alpha1.ApiKey) { once(k); k.Status.Versions[1].ClaimedAt = at(-time.Hour) }
	for name, key := range map[string]*v1alpha1.ApiKey{
		"claimed": web(claimed), "revoked": web(revoked), "pending": web(func(k *v1alpha1.ApiKey) { k.Status.SecretRef = nil }),
	} {
		if got := sight(role.Viewer).Key(acme(), key).Mount.Secret; got != "" {
			t.Errorf("%s: the Secret is %q", name, got)
		}
	}
	everything := acme(func(g *v1alpha1.Group) { g.Spec.Projects = nil })
	if got := sight(role.Viewer).Key(everything, web()).Mount.Address; got != "https://content.example/" {
		t.Errorf("without routes: %q", got)
	}
	maps := web(func(k *v1alpha1.ApiKey) { k.Spec.Projects = k.Spec.Projects[1:] })
	if got := sight(role.Viewer).Key(acme(), maps).Mount.Address; got != "https://maps.acme.example/tiles/" {
		t.Errorf("of a subtree: %q", got)
	}
}

// TestEndOfARevokedVersion: its expiry, which is ahead, is not its end.
func TestEndOfARevokedVersion(t *testing.T) {
	end := func(key *v1alpha1.ApiKey) time.Time {
		key.Status.Versions[1].State = v1alpha1.VersionRevoked
		return sight(role.Viewer).Key(acme(), key).Versions[1].Ends
	}
	key := web(revoked, with(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonRevoked, ""))
	if got := end(key); !got.Equal(now.Add(-time.Hour)) {
		t.Errorf("of a key that was revoked an hour ago: %s", got)
	}
	if got := end(web(once)); !got.Equal(now.Add(-2 * day).Add(time.Hour)) {
		t.Errorf("of a version that nobody claimed: %s", got)
	}
	if got := end(web()); !got.Equal(now.Add(-2 * day)) {
		t.Errorf("of another: %s", got)
	}
}

func TestManaged(t *testing.T) {
	fields := func(manager, fields, subresource string) metav1.ObjectMeta {
		return metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: manager, FieldsV1: metav1.NewFieldsV1(fields), Subresource: subresource}}}
	}
	const spec = `{"f:spec":{"f:projects":{}}}`
	for name, c := range map[string]struct {
		meta metav1.ObjectMeta
		want string
	}{
		"nobody":             {metav1.ObjectMeta{Labels: map[string]string{"team": "web"}}, ""},
		"Argo CD's id":       {metav1.ObjectMeta{Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "keys:keyward.dev/ApiKey:acme/web"}}, "Argo CD"},
		"Argo CD's label":    {metav1.ObjectMeta{Labels: map[string]string{"argocd.argoproj.io/instance": "keys"}}, "Argo CD"},
		"a Kustomization":    {metav1.ObjectMeta{Labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "keys"}}, "Flux"},
		"a HelmRelease":      {metav1.ObjectMeta{Labels: map[string]string{"helm.toolkit.fluxcd.io/name": "keys", "app.kubernetes.io/managed-by": "Helm"}}, "Flux"},
		"a release of Helm":  {metav1.ObjectMeta{Annotations: map[string]string{"meta.helm.sh/release-name": "keys"}}, "Helm"},
		"a label of Helm":    {metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}, "Helm"},
		"the operator":       {metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/managed-by": "keyward"}}, ""},
		"applied by Argo CD": {fields("argocd-controller", spec, ""), "Argo CD"},
		"applied by Flux":    {fields("kustomize-controller", spec, ""), "Flux"},
		"applied by kubectl": {fields("kubectl-client-side-apply", spec, ""), ""},
		"an annotation":      {fields("argocd-server", `{"f:metadata":{"f:annotations":{}}}`, ""), ""},
		"a status":           {fields("fluxlike", spec, "status"), ""},
		"by hand in console": {fields("keyward-console", spec, ""), ""},
	} {
		if got := Managed(&c.meta); got != c.want {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

func TestGroup(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*v1alpha1.Group)
		ambiguous bool
		want      page.Group
	}{
		"as it is": {func(*v1alpha1.Group) {}, false, page.Group{Name: "acme", Tier: "Pro", State: page.State{Text: "Active", Tone: page.Good}, Keys: 4, Requests: 402_118}},
		"several namespaces, a new month": {func(g *v1alpha1.Group) { g.Status.Usage.Period = "2026-10" }, true,
			page.Group{Name: "acme/acme", Tier: "Pro", State: page.State{Text: "Active", Tone: page.Good}, Keys: 4}},
		"frozen, and new": {func(g *v1alpha1.Group) {
			g.Spec.State, g.Status = v1alpha1.GroupFrozen, v1alpha1.GroupStatus{}
		}, false, page.Group{Name: "acme", Tier: "Pro", State: page.State{Text: "Frozen", Tone: page.Bad}}},
		"quota": {func(g *v1alpha1.Group) {
			g.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionQuotaLow, metav1.ConditionTrue, "QuotaUsed", "")}
			g.Status.Usage, g.Status.Keys.Active = nil, ptr.To[int32](0)
		}, false, page.Group{Name: "acme", Tier: "Pro", State: page.State{Text: "Quota nearly used", Tone: page.Warn}}},
	} {
		c.want.Href = "/groups/acme/acme"
		if got := Group(acme(c.change), now, c.ambiguous); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, expected %+v", name, got, c.want)
		}
	}
}
