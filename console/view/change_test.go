package view

import (
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/role"
	"github.com/keyward-dev/keyward/internal/specchange"
)

func TestRotate(t *testing.T) {
	got := sight(role.Admin).Rotate(web())
	minted := page.Step{When: "now", What: "A new version is minted, and sent to 3 validation servers."}
	both := page.Step{When: "once all have it", What: "The Secret web gets it. Both versions are accepted."}
	ends := func(when string) page.Step {
		return page.Step{When: "about " + when, What: "The earlier version ends: it is refused with key_retired."}
	}
	want := page.Rotate{
		Name: "web", Action: "/groups/acme/acme/keys/acme/web/rotate", Back: "/groups/acme/acme/keys/acme/web", Preview: "kw_…9f3a",
		LastUse: now.Add(-3 * time.Minute), Overlaps: []page.Overlap{
			{Choice: page.Choice{Value: "24h", Text: "24 hours", Chosen: true, Recommended: true}, Steps: []page.Step{minted, both, ends("28 November, 12:00 UTC")}},
			{Choice: page.Choice{Value: "7d", Text: "7 days"}, Steps: []page.Step{minted, both, ends("4 December, 12:00 UTC")}},
			{Choice: page.Choice{Value: "1h", Text: "1 hour"}, Steps: []page.Step{minted, both, ends("27 November, 13:00 UTC")}},
			{Choice: page.Choice{Value: "0s", Text: "none, because others know the key"}, Steps: []page.Step{minted,
				{When: "once all have it", What: "The Secret web gets it. The earlier version ends at once: applications fail until they have the new one."}}},
		},
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRotateOfOthers(t *testing.T) {
	last := func(o page.Overlap) string { return o.Steps[len(o.Steps)-1].What }
	short := sight(role.Admin).Rotate(web(func(k *v1alpha1.ApiKey) {
		k.Spec.ExpiresAfter, k.Spec.Rotation.Overlap = "2d", "90m"
		k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "shop"}}
		k.Status.Versions[1].ExpiresAt = at(30 * time.Minute)
	}))
	if o := short.Overlaps[0]; len(short.Overlaps) != 4 || o.Value != "90m" || o.Text != "90 minutes" || !o.Recommended {
		t.Errorf("of a key that lives for two days, and declares 90m: %+v", short.Overlaps)
	} else if len(o.Steps) != 4 || o.Steps[2].What != "The Deployment shop is rolled." ||
		last(o) != "The earlier version ends: it has expired, and is refused with key_expired." {
		t.Errorf("its steps: %+v", o.Steps)
	}
	claimed := sight(role.Admin).Rotate(web(once))
	if o := claimed.Overlaps[0]; !claimed.Once || len(o.Steps) != 4 || o.Steps[2] != (page.Step{When: "once it is claimed", What: "Both versions are accepted."}) {
		t.Errorf("of a key that is revealed once: %+v", o)
	}
	for want, key := range map[string]*v1alpha1.ApiKey{
		"The key is suspended. Resume it first.":                         web(suspended),
		"The key is revoked for good. Create another.":                   web(revoked),
		"The key is blocked, and rotates only when that is over: Ready.": web(state(v1alpha1.KeyBlocked)),
	} {
		if got := sight(role.Admin).Rotate(key).Cannot; got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}

// TestOfferedOverlapsAreAccepted: admission refuses none of those that are offered.
func TestOfferedOverlapsAreAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.SampledFrom([]string{"", "1m", "5m", "2h", "36h", "3d", "90d", "1y"})
		key := web(func(k *v1alpha1.ApiKey) {
			k.Spec.ExpiresAfter = v1alpha1.Lifetime(length.Draw(t, "lifetime"))
			k.Spec.Rotation.Every = v1alpha1.Duration(length.Draw(t, "every"))
			k.Spec.Rotation.Overlap = v1alpha1.Duration(length.Draw(t, "overlap"))
		})
		for _, o := range sight(role.Admin).Rotate(key).Overlaps {
			key.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: grant.NewRotateRequest("now", v1alpha1.Duration(o.Value))}
			if p := grant.RequestProblem(key); p != nil {
				t.Errorf("%s: %v", o.Value, p)
			}
			if p := grant.RequestedOverlapProblem(key); p != nil {
				t.Errorf("%s: %v", o.Value, p)
			}
		}
	})
	for _, overlap := range []string{"", "soon", "1h;overlap=0s", "-1h", "366d", strings.Repeat("1d", 20)} {
		if OverlapProblem(web(), overlap) == "" {
			t.Errorf("%q is accepted", overlap)
		}
	}
}

func TestUse(t *testing.T) {
	recorded := &v1alpha1.GroupUsage{Status: v1alpha1.GroupUsageStatus{GroupUID: "1", Months: []v1alpha1.MonthUsage{{Month: "2026-11"}}}}
	recorded.Status.Months[0].Origins = []v1alpha1.OriginCount{
		{Origin: "https://a.example", Requests: ptr.To[int64](1)}, {Origin: "https://b.example", Requests: ptr.To[int64](9)}}
	want := page.Use{Last: now.Add(-3 * time.Minute), Today: 100, Week: 340, Origins: []string{"https://b.example", "https://a.example"}}
	suspend := sight(role.Admin).Suspend(acme(), recorded, web())
	if d := gocmp.Diff(want, suspend.Use); d != "" {
		t.Error(d)
	}
	if suspend.Action != "/groups/acme/acme/keys/acme/web/suspend" || suspend.Cannot != "" || suspend.Error != "" {
		t.Errorf("%+v", suspend)
	}
	revoke := sight(role.Admin).Revoke(acme(), &v1alpha1.GroupUsage{}, web(revoked))
	if revoke.Action != "/groups/acme/acme/keys/acme/web/revoke" || len(revoke.Use.Origins) != 0 {
		t.Errorf("%+v", revoke)
	}
	for name, got := range map[string]string{
		"a revoked key may be suspended":         sight(role.Admin).Suspend(acme(), recorded, web(revoked)).Cannot,
		"a suspended key may be suspended":       sight(role.Admin).Suspend(acme(), recorded, web(suspended)).Cannot,
		"a revoked key may be revoked":           revoke.Cannot,
		"a revoked key may be resumed":           sight(role.Admin).Resume(acme(), web(suspended, revoked)).Cannot,
		"a key that is not suspended is resumed": sight(role.Admin).Resume(acme(), web()).Cannot,
		"the text of a revoked key may be shown": sight(role.Admin).Claim(web(once, revoked)).Cannot,
		"the text of a key in a Secret is shown": sight(role.Admin).Claim(web()).Cannot,
	} {
		if got == "" {
			t.Error(name)
		}
	}
}

func TestResume(t *testing.T) {
	key := web(suspended, with(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonSuspended, ""))
	if got := sight(role.Admin).Resume(acme(), key); !got.Since.Equal(now.Add(-time.Hour)) || got.By != "" || got.Remains != "" || got.Cannot != "" {
		t.Errorf("without a stamp: %+v", got)
	}
	key.Annotations = map[string]string{}
	for _, change := range []specchange.Change{
		{Generation: 3, At: now.Add(-3 * time.Hour), User: "ada", Fields: []specchange.Field{{Path: specchange.FieldSuspended, Before: "false", After: "true"}}},
		{Generation: 4, At: now.Add(-2 * time.Hour), User: "ben", Fields: []specchange.Field{{Path: "spec.description", After: "x"}}},
	} {
		text, err := specchange.Add(key.Annotations, change)
		if err != nil {
			t.Fatal(err)
		}
		key.Annotations[v1alpha1.AnnotationChanges] = text
	}
	frozen := acme(func(g *v1alpha1.Group) { g.Spec.State = v1alpha1.GroupFrozen })
	got := sight(role.Admin).Resume(frozen, key)
	if !got.Since.Equal(now.Add(-3*time.Hour)) || got.By != "ada" || !strings.HasPrefix(got.Remains, "The Group is frozen") {
		t.Errorf("%+v", got)
	}
}
