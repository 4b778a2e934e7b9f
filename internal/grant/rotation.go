package grant

import (
	"fmt"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// DefaultOverlap is rotation.overlap of a key that declares none.
const DefaultOverlap = "24h"

const (
	minEvery     = time.Minute
	minUnusedFor = 10 * time.Second
	minRotating  = 3 * time.Minute
)

// Rotation is how a key rotates.
type Rotation struct {
	// Every is the age at which a version is replaced; 0 means never.
	Every time.Duration
	// Overlap is how long an earlier version stays accepted beside its successor.
	Overlap time.Duration
	// UnusedFor is how long a version has to be unused for its overlap to end early; 0 means that this never happens.
	UnusedFor time.Duration
	// Jitter is by how much a rotation is earlier than Every at most; nil for the default.
	Jitter *time.Duration
	// Window is when scheduled rotations happen; nil for any time.
	Window *Window
}

// RotationOf returns how the key rotates. With a problem, the key does not rotate automatically.
func RotationOf(key *v1alpha1.ApiKey) (Rotation, *Problem) {
	r, problems := parseRotation(key)
	return r, problems.First()
}

func parseRotation(key *v1alpha1.ApiKey) (Rotation, Problems) {
	spec := key.Spec.Rotation
	var problems Problems
	r, unread := Rotation{}, false
	r.Overlap, _ = ParseDuration(DefaultOverlap)
	for _, field := range []struct {
		name  string
		text  v1alpha1.Duration
		least time.Duration
		value *time.Duration
	}{
		{"overlap", spec.Overlap, 0, &r.Overlap},
		{"every", spec.Every, minEvery, &r.Every},
		{"retireWhenUnusedFor", spec.RetireWhenUnusedFor, minUnusedFor, &r.UnusedFor},
	} {
		if field.text == "" {
			continue
		}
		value, err := ParseDuration(field.text)
		if err == nil {
			*field.value = value
		}
		unread = unread || err != nil && field.value != &r.UnusedFor || field.value == &r.Every && value < field.least
		if err == nil && value < field.least {
			err = fmt.Errorf("%s is too short; write at least %s", field.text, field.least)
		}
		if err != nil {
			problems = append(problems, rotationProblem(field.name, field.text, err.Error()))
		}
	}
	switch {
	case unread, r.Every <= 0, r.Overlap <= r.Every:
	case spec.Overlap == "" || spec.Overlap == DefaultOverlap: // probably nobody has written it
		problems = append(problems, rotationProblem("every", spec.Every, fmt.Sprintf(
			"%s is shorter than the overlap, which is %s by default; set spec.rotation.overlap to at most %s",
			spec.Every, DefaultOverlap, spec.Every)))
	default:
		problems = append(problems, rotationProblem("overlap", spec.Overlap,
			fmt.Sprintf("%s is longer than every %s; write a shorter overlap", spec.Overlap, spec.Every)))
	}
	if !unread {
		problems = append(problems, parseSchedule(&spec, &r)...)
	}
	if len(problems) > 0 {
		return Rotation{Overlap: r.Overlap}, problems
	}
	return r, nil
}

// DeclaredOverlap returns the overlap that the key declares, as it is written, or the default.
func DeclaredOverlap(key *v1alpha1.ApiKey) v1alpha1.Duration {
	if overlap := key.Spec.Rotation.Overlap; overlap != "" {
		return overlap
	}
	return DefaultOverlap
}

// RotationUnder is RotationOf that also checks the rotation against the group's keyPolicy, where there is a group: a key that lives for
// seconds would rotate all the time. A problem that is Elsewhere is that the policy makes keys so short-lived: one that exists goes on,
// and rotates in time for that, as Rotation says.
func RotationUnder(key *v1alpha1.ApiKey, group *v1alpha1.Group) (Rotation, *Problem) {
	r, problems := rotationUnder(key, group)
	return r, problems.First()
}

// RotationProblems returns all that is wrong with the rotation of a key, where there is a group under its keyPolicy.
func RotationProblems(key *v1alpha1.ApiKey, group *v1alpha1.Group) Problems {
	_, problems := rotationUnder(key, group)
	return problems
}

func rotationUnder(key *v1alpha1.ApiKey, group *v1alpha1.Group) (Rotation, Problems) {
	r, problems := parseRotation(key)
	if len(problems) > 0 || group == nil || r.Every == 0 || key.Spec.ExpiresAt != nil {
		return r, problems
	}
	start := time.Unix(0, 0)
	expiresAt, problem := CappedExpiry(key, group, start)
	lifetime := expiresAt.Sub(start)
	if problem != nil || expiresAt.IsZero() || lifetime >= minRotating {
		return r, nil
	}
	declared, err := ParseDuration(v1alpha1.Duration(key.Spec.ExpiresAfter))
	if err == nil && declared < minRotating {
		r.Every = 0
		return r, Problems{rotationProblem("every", key.Spec.Rotation.Every,
			fmt.Sprintf("a key that lives for %s cannot rotate automatically; let it live for at least %s", lifetime, minRotating))}
	}
	return r, Problems{lifetimeProblem("spec.rotation.every", "with the keyPolicy of Group %s/%s, keys live for %s, which is too short to "+
		"rotate automatically; let the Group allow at least %s", group.Namespace, group.Name, lifetime, minRotating)}
}

func rotationProblem(name string, value v1alpha1.Duration, message string) *Problem {
	return invalid("spec.rotation."+name, string(value), message)
}
