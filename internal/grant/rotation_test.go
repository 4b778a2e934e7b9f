package grant_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// TestAllProblemsOfARotation: each is found beside the others, and the default overlap is not blamed on the author.
func TestAllProblemsOfARotation(t *testing.T) {
	const tooLong = "spec.rotation.overlap: Invalid value: \"2h\": 2h is longer than every 10m; write a shorter overlap"
	for name, test := range map[string]struct {
		rotation v1alpha1.Rotation
		want     []string
	}{
		"overlap beside another": {v1alpha1.Rotation{Every: "10m", Overlap: "2h", RetireWhenUnusedFor: "1s"},
			[]string{"spec.rotation.retireWhenUnusedFor: Invalid value: \"1s\": 1s is too short; write at least 10s", tooLong}},
		"overlap beside one that cannot be read": {v1alpha1.Rotation{Every: "10m", Overlap: "2h", RetireWhenUnusedFor: "-"},
			[]string{"spec.rotation.retireWhenUnusedFor: Invalid value: \"-\": ", tooLong}},
		"default overlap": {v1alpha1.Rotation{Every: "2h", Overlap: "24h"}, []string{
			"spec.rotation.every: Invalid value: \"2h\": 2h is shorter than the overlap, which is 24h by default; s", // the helper cuts it off
		}},
		"no overlap":         {v1alpha1.Rotation{Every: "2h"}, []string{"spec.rotation.every: Invalid value: \"2h\": 2h is shorter than the overlap"}},
		"too often":          {v1alpha1.Rotation{Every: "1s", Overlap: "24h"}, []string{"spec.rotation.every: Invalid value: \"1s\": 1s is too short"}},
		"overlap not read":   {v1alpha1.Rotation{Every: "2h", Overlap: "-"}, []string{"spec.rotation.overlap: Invalid value: \"-\": "}},
		"as long as a cycle": {v1alpha1.Rotation{Every: "2h", Overlap: "2h"}, nil},
	} {
		got := problemTexts(grant.RotationProblems(&v1alpha1.ApiKey{Spec: v1alpha1.ApiKeySpec{Rotation: test.rotation}}, nil))
		if !slices.EqualFunc(got, test.want, strings.HasPrefix) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
