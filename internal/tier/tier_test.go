package tier_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/tier"
)

func groupOf(name string, change ...func(*v1alpha1.Group)) *v1alpha1.Group {
	group := &v1alpha1.Group{}
	group.Spec.Tier = name
	for _, f := range change {
		f(group)
	}
	return group
}

func without(name string, from *tier.Catalogue) *tier.Catalogue {
	rest := &tier.Catalogue{Default: from.Default}
	for i := range from.Tiers {
		if from.Tiers[i].Name != name {
			rest.Tiers = append(rest.Tiers, from.Tiers[i])
		}
	}
	return rest
}

func TestResolve(t *testing.T) {
	builtin, withDefault := tier.Builtin(), tier.Builtin()
	withDefault.Default = "Free"
	overridden := func(g *v1alpha1.Group) {
		g.Spec.Limits.Keys = new(int32(77))
		g.Spec.Limits.Overage = v1alpha1.OverageMeter
	}
	was := func(name string) func(*v1alpha1.Group) {
		return func(g *v1alpha1.Group) { g.Status.Limits = builtin.Resolve(groupOf(name)).Limits }
	}
	for _, test := range []struct {
		name      string
		catalogue *tier.Catalogue
		group     *v1alpha1.Group
		tier      string
		keys      int32 // -1 is any number
		found     bool
		says      string
	}{
		{"a tier", builtin, groupOf("Pro"), "Pro", 10, true, "tier Pro is in the catalogue"},
		{"a tier without limits", builtin, groupOf("Enterprise"), "Enterprise", -1, true, "tier Enterprise is in the catalogue"},
		{"what the Group sets comes first", builtin, groupOf("Pro", overridden), "Pro", 77, true, "tier Pro is in the catalogue"},
		{"no tier", builtin, groupOf(""), "", -1, false, ""},
		{"no tier, limits of its own", builtin, groupOf("", overridden), "", 77, false, ""},
		{"no tier any more", builtin, groupOf("", was("Pro")), "", -1, false, ""},
		{"the default tier", withDefault, groupOf(""), "Free", 2, true, "tier Free is in the catalogue"},
		{"another tier than before", builtin, groupOf("Free", was("Pro")), "Free", 2, true, "tier Free is in the catalogue"},
		{"a tier that is gone", without("Pro", builtin), groupOf("Pro", was("Pro")), "Pro", 10, false,
			`the catalogue has no tier "Pro"; it has Free, Basic, ProPlus, Business, Enterprise. The limits stay as they were`},
		{"a tier that is gone, with limits of its own", without("Pro", builtin), groupOf("Pro", was("Pro"), overridden), "Pro", 77, false,
			`the catalogue has no tier "Pro"; it has Free, Basic, ProPlus, Business, Enterprise. The limits stay as they were`},
		{"a tier that never was", builtin, groupOf("Gold", was("Pro")), "Pro", 10, false,
			`the catalogue has no tier "Gold"; it has Free, Basic, Pro, ProPlus, Business, Enterprise. The limits stay as they were, those of tier Pro`},
		{"a new Group with a tier that never was", withDefault, groupOf("Gold"), "Free", 2, false,
			`the catalogue has no tier "Gold"; it has Free, Basic, Pro, ProPlus, Business, Enterprise. Until then the limits are those of the default tier, Free`},
		{"that without a default", builtin, groupOf("Gold"), "", -1, false,
			`the catalogue has no tier "Gold"; it has Free, Basic, Pro, ProPlus, Business, Enterprise. Until then there are no limits but those of spec.limits`},
	} {
		t.Run(test.name, func(t *testing.T) {
			resolution := test.catalogue.Resolve(test.group)
			name, keys := "", int32(-1)
			if resolution.Limits != nil {
				name = resolution.Limits.Tier
			}
			if limit := resolution.Keys(); limit != nil {
				keys = *limit
			}
			if name != test.tier || keys != test.keys || resolution.Found != test.found || resolution.Message != test.says {
				t.Errorf("tier %q, %d keys, found %t, %q", name, keys, resolution.Found, resolution.Message)
			}
			if warning := test.catalogue.Warning(test.group); (warning != "") != (test.group.Spec.Tier != "" && !test.found) {
				t.Errorf("the warning is %q", warning)
			}
		})
	}
}

// TestResolveRates: each of the two numbers is the Group's, or else the tier's.
func TestResolveRates(t *testing.T) {
	rate := func(perSecond, burst int32) (limit v1alpha1.RateLimit) {
		if perSecond > 0 {
			limit.RequestsPerSecond = &perSecond
		}
		if burst > 0 {
			limit.Burst = &burst
		}
		return limit
	}
	for _, test := range []struct {
		name              string
		tier, group, want v1alpha1.RateLimit
	}{
		{"none", rate(0, 0), rate(0, 0), rate(0, 0)},
		{"the tier's", rate(10, 20), rate(0, 0), rate(10, 20)},
		{"the Group's", rate(0, 0), rate(10, 20), rate(10, 20)},
		{"the Group's rate, the tier's burst", rate(10, 20), rate(30, 0), rate(30, 20)},
		{"the tier's rate, the Group's burst", rate(10, 0), rate(0, 40), rate(10, 40)},
		{"a burst without a rate", rate(0, 0), rate(0, 40), rate(0, 40)},
	} {
		t.Run(test.name, func(t *testing.T) {
			catalogue := &tier.Catalogue{Tiers: []tier.Tier{{Name: "Pro", Limits: v1alpha1.Limits{RateLimit: test.tier}}}}
			resolution := catalogue.Resolve(groupOf("Pro", func(g *v1alpha1.Group) { g.Spec.Limits.RateLimit = test.group }))
			if diff := cmp.Diff(test.want, resolution.Limits.RateLimit); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDefaults compares the built-in catalogue with the table that is published.
func TestDefaults(t *testing.T) {
	var got []string
	for _, of := range tier.Builtin().Tiers {
		line := of.Name
		if l := of.Limits; l.Keys != nil {
			line += " " + resource.NewQuantity(*l.RequestsPerMonth, resource.DecimalSI).String() + " " +
				l.BytesPerMonth.String() + " " + resource.NewQuantity(int64(*l.Keys), resource.DecimalSI).String()
		}
		if of.AuditLog {
			line += " audit"
		}
		got = append(got, line)
	}
	want := []string{"Free 1k 1G 2", "Basic 50k 25G 5", "Pro 500k 100G 10", "ProPlus 2M 500G 25",
		"Business 10M 2T 50 audit", "Enterprise audit"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestResolveIsIdempotent: resolving again what was resolved and recorded changes nothing, and neither does a tier
// that is removed from the catalogue.
func TestResolveIsIdempotent(t *testing.T) {
	names := []string{"", "Free", "Pro", "Enterprise", "Gold"}
	rapid.Check(t, func(t *rapid.T) {
		catalogue := tier.Builtin()
		catalogue.Default = rapid.SampledFrom(names[:4]).Draw(t, "default")
		group := groupOf(rapid.SampledFrom(names).Draw(t, "tier"))
		if rapid.Bool().Draw(t, "keys") {
			group.Spec.Limits.Keys = new(rapid.Int32Range(0, 9).Draw(t, "limit"))
		}
		if before := rapid.SampledFrom(names).Draw(t, "before"); before != "" {
			group.Status.Limits = catalogue.Resolve(groupOf(before)).Limits
		}
		group.Status.Limits = catalogue.Resolve(group).Limits
		same := func(catalogue *tier.Catalogue) {
			if again := catalogue.Resolve(group); !equality.Semantic.DeepEqual(again.Limits, group.Status.Limits) {
				t.Fatal(cmp.Diff(group.Status.Limits, again.Limits))
			}
		}
		same(catalogue)
		if group.Status.Limits != nil && group.Spec.Tier != "" {
			same(without(group.Spec.Tier, catalogue))
		}
	})
}
