package tier_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/tier"
)

// TestBoundsAreThoseOfTheSchema compares the bounds in Go with those that the markers on the types have generated, at
// every place where the API has limits.
func TestBoundsAreThoseOfTheSchema(t *testing.T) {
	for _, place := range []struct {
		file string
		path string
		only []string // nil: all
	}{
		{"keyward.dev_groups.yaml", "spec.limits", nil},
		{"keyward.dev_groups.yaml", "status.limits", nil},
		{"keyward.dev_apikeys.yaml", "spec.limits", []string{"requestsPerSecond", "burst", "requestsPerMonth"}},
	} {
		numbers := map[string]tier.Bounds{}
		for name, property := range properties(t, place.file, place.path) {
			if property["type"] != "integer" {
				continue
			}
			least, hasLeast := property["minimum"].(float64)
			most, hasMost := property["maximum"].(float64)
			if !hasLeast || !hasMost {
				t.Errorf("%s of %s has no bounds", name, place.path)
			}
			numbers[name] = tier.Bounds{Field: name, Min: int64(least), Max: int64(most)}
		}
		want := map[string]tier.Bounds{}
		for _, bounds := range tier.NumberBounds() {
			if name := bounds.Field; place.only == nil || slices.Contains(place.only, name) {
				want[name] = tier.Bounds{Field: name, Min: bounds.Min, Max: bounds.Max}
			}
		}
		if diff := cmp.Diff(want, numbers, cmp.Comparer(func(a, b tier.Bounds) bool {
			return a.Field == b.Field && a.Min == b.Min && a.Max == b.Max
		})); diff != "" {
			t.Errorf("%s of %s: %s", place.path, place.file, diff)
		}
	}
}

// properties are those of a field in a CustomResourceDefinition, as it is generated.
func properties(t *testing.T, file, path string) map[string]map[string]any {
	t.Helper()
	data, err := os.ReadFile("../../config/crd/bases/" + file)
	if err != nil {
		t.Fatal(err)
	}
	type property struct {
		Properties map[string]any `json:"properties"`
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPI property `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &crd); err != nil {
		t.Fatal(err)
	}
	at := crd.Spec.Versions[0].Schema.OpenAPI.Properties
	for name := range strings.SplitSeq(path, ".") {
		below, _ := at[name].(map[string]any)
		at, _ = below["properties"].(map[string]any)
	}
	found := map[string]map[string]any{}
	for name, property := range at {
		found[name], _ = property.(map[string]any)
	}
	if len(found) == 0 {
		t.Fatalf("%s has no %s", file, path)
	}
	return found
}

func TestValidateLimits(t *testing.T) {
	limits := &v1alpha1.Limits{
		Keys: new(int32(-1)), RequestsPerMonth: new(int64(1_000_000_000_000_001)), BytesPerMonth: new(resource.MustParse("500m")),
		Overage: "Never", QuotaFailurePolicy: "Deny", Period: &v1alpha1.QuotaPeriod{AnchorDay: new(int32(32))},
		RateLimit: v1alpha1.RateLimit{RequestsPerSecond: new(int32(0)), Burst: new(int32(1))},
	}
	var got []string
	for _, problem := range tier.ValidateLimits(limits, field.NewPath("spec", "limits")) {
		got = append(got, problem.Error())
	}
	want := []string{
		`spec.limits.keys: Invalid value: -1: write a whole number from 0 to 1000000, or leave it out for no limit`,
		`spec.limits.requestsPerMonth: Invalid value: 1000000000000001: write a whole number from 0 to 1000000000000000, or leave it out for no limit`,
		`spec.limits.requestsPerSecond: Invalid value: 0: write a whole number from 1 to 1000000, or leave it out for no limit`,
		`spec.limits.bytesPerMonth: Invalid value: "500m": write a whole number of bytes of at least 1 and less than 1E, such as 100G, or leave it out for no limit`,
		`spec.limits.period.anchorDay: Invalid value: 32: write the day of the month on which the quotas are reset, 1 to 31, or leave period out for calendar months`,
		`spec.limits.overage: Unsupported value: "Never": supported values: "Block", "Meter"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if problems := tier.ValidateLimits(&v1alpha1.Limits{}, nil); len(problems) > 0 {
		t.Error(problems)
	}
}

// TestAnchorDayIsRequired: a period without one says nothing.
func TestAnchorDayIsRequired(t *testing.T) {
	problems := tier.ValidateLimits(&v1alpha1.Limits{Period: &v1alpha1.QuotaPeriod{}}, field.NewPath("limits"))
	if len(problems) != 1 || problems[0].Field != "limits.period.anchorDay" || problems[0].Type != field.ErrorTypeRequired {
		t.Error(problems)
	}
}

// TestBytesAreWhole: less than one byte, or a part of one, is no quota.
func TestBytesAreWhole(t *testing.T) {
	for quantity, valid := range map[string]bool{
		"1": true, "100G": true, "1.5G": true, "500Gi": true, "1e3": true,
		"0": false, "0G": false, "-1": false, "0.0000001": false, "100n": false, "500m": false, "1.5": false, "10E": false,
	} {
		limits := &v1alpha1.Limits{BytesPerMonth: new(resource.MustParse(quantity))}
		if problems := tier.ValidateLimits(limits, nil); len(problems) == 0 != valid {
			t.Errorf("%s: %v", quantity, problems)
		}
	}
}

func TestInForce(t *testing.T) {
	group := groupOf("Pro", func(g *v1alpha1.Group) { g.Spec.Limits.Keys = new(int32(3)) })
	if got := tier.InForce(group); *got.Keys != 3 || got.RequestsPerMonth != nil {
		t.Errorf("before it is resolved: %+v", got)
	}
	group.Status.Limits = tier.Builtin().Resolve(groupOf("Pro")).Limits
	if got := tier.InForce(group); *got.Keys != 10 || *got.RequestsPerMonth != 500_000 {
		t.Errorf("resolved: %+v", got)
	}
}
