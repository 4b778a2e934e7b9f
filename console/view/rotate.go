package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/declare"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// offeredOverlaps are those to choose from, beside the declared one.
var offeredOverlaps = []v1alpha1.Duration{"24h", "7d", "1h", "0s"}

// Rotate asks how a key is replaced, and says what will happen when.
func (s *Sight) Rotate(key *v1alpha1.ApiKey) page.Rotate {
	at := s.key(key)
	asked := page.Rotate{
		Name: key.Name, Action: at.Of("rotate"), Back: at.Of(), Preview: orElse(key.Status.Preview, "none yet"),
		LastUse: timeOf(key.Status.LastUsedAt), Once: isOnce(key), Cannot: CannotRotate(key),
	}
	declared := declaredOverlap(key)
	offered := offeredOverlaps
	if !slices.ContainsFunc(offered, func(o v1alpha1.Duration) bool { return sameLength(o, declared) }) {
		offered = append([]v1alpha1.Duration{declared}, offered...)
	}
	for _, overlap := range offered {
		if OverlapProblem(key, string(overlap)) != "" {
			continue
		}
		usual := sameLength(overlap, declared)
		asked.Overlaps = append(asked.Overlaps, page.Overlap{
			Choice: page.Choice{Value: string(overlap), Text: overlapText(overlap), Chosen: usual, Recommended: usual},
			Steps:  s.steps(key, overlap),
		})
	}
	return asked
}

// OverlapProblem says why a rotation cannot have an overlap; empty if it can.
func OverlapProblem(key *v1alpha1.ApiKey, overlap string) string {
	if len(overlap) > 32 {
		return "Write a duration such as 24h."
	}
	if _, err := grant.ParseDuration(v1alpha1.Duration(overlap)); err != nil {
		return sentence(err.Error())
	}
	trial := key.DeepCopy()
	declare.Rotation(trial, grant.NewRotateRequest("now", v1alpha1.Duration(overlap)))
	if problem := grant.RequestedOverlapProblem(trial); problem != nil {
		return sentence(problem.Message)
	}
	return ""
}

func isOnce(key *v1alpha1.ApiKey) bool { return key.Spec.Secret.Reveal == v1alpha1.RevealOnce }

func declaredOverlap(key *v1alpha1.ApiKey) v1alpha1.Duration {
	if key.Spec.Rotation.Overlap == "" {
		return grant.DefaultOverlap
	}
	return key.Spec.Rotation.Overlap
}

func sameLength(a, b v1alpha1.Duration) bool {
	one, err := grant.ParseDuration(a)
	other, err2 := grant.ParseDuration(b)
	return err == nil && err2 == nil && one == other
}

func overlapText(overlap v1alpha1.Duration) string {
	if sameLength(overlap, "0s") {
		return "none, because others know the key"
	}
	return durationText(overlap)
}

// durationText writes a length as a person does, if it is whole days or hours.
func durationText(text v1alpha1.Duration) string {
	length, err := grant.ParseDuration(text)
	if err != nil {
		return string(text)
	}
	const day = 24 * time.Hour
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := length / unit.length; n > 0 && length%unit.length == 0 {
			if n == 1 && unit.length == day {
				return "24 hours"
			}
			return plural(int64(n), unit.name)
		}
	}
	return string(text)
}

func plural(n int64, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// steps are what happens with an overlap.
func (s *Sight) steps(key *v1alpha1.ApiKey, overlap v1alpha1.Duration) []page.Step {
	servers := int64(0)
	if e := key.Status.Enforcement; e != nil {
		servers = int64(ptr.Deref(e.Servers, 0))
	}
	steps := []page.Step{{When: "now", What: "A new version is minted, and sent to " + plural(servers, "validation server") + "."}}
	delivered, when := "The Secret "+lifecycle.SecretName(key)+" gets it.", "once all have it"
	if isOnce(key) {
		steps = append(steps, page.Step{When: when, What: "It waits for an hour to be claimed. If nobody claims it, it is revoked, and the earlier version stays."})
		delivered, when = "", "once it is claimed"
	}
	if sameLength(overlap, "0s") {
		what := "The earlier version ends at once: applications fail until they have the new one."
		return append(steps, page.Step{When: when, What: strings.TrimSpace(delivered + " " + what)})
	}
	steps = append(steps, page.Step{When: when, What: strings.TrimSpace(delivered + " Both versions are accepted.")})
	for _, w := range key.Spec.Secret.Restart {
		steps = append(steps, page.Step{When: "then", What: fmt.Sprintf("The %s %s is rolled.", w.Kind, w.Name)})
	}
	length, err := grant.ParseDuration(overlap)
	if err != nil {
		return steps
	}
	end, how := s.Now.Add(length), "it is refused with key_retired"
	if current := lifecycle.Current(key.Status.Versions); current != nil && current.ExpiresAt != nil && current.ExpiresAt.Time.Before(end) {
		end, how = current.ExpiresAt.Time, "it has expired, and is refused with key_expired"
	}
	return append(steps, page.Step{When: "about " + end.UTC().Format("2 January, 15:04 UTC"), What: "The earlier version ends: " + how + "."})
}
