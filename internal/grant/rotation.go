package grant

import (
	"fmt"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	defaultOverlap = "24h"

	minEvery     = time.Minute
	minUnusedFor = 10 * time.Second
	minRotating  = 3 * time.Minute
)

// Rotation is how a key rotates.
type Rotation struct {
	// Every is the age at which a version is replaced; 0 is never.
	Every time.Duration
	// Overlap is how long an earlier version stays accepted beside its successor.
	Overlap time.Duration
	// UnusedFor is the silence that ends an overlap early; 0 is none.
	UnusedFor time.Duration
}

// RotationOf reads how the key rotates. The problem says what is wrong with it, and then
// the key does not rotate by itself.
func RotationOf(key *v1alpha1.ApiKey) (Rotation, *Problem) {
	spec := key.Spec.Rotation
	r := Rotation{}
	r.Overlap, _ = ParseDuration(defaultOverlap)
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
		if err == nil && value < field.least {
			err = fmt.Errorf("%s is too short; write at least %s", field.text, field.least)
		}
		if err != nil {
			return Rotation{Overlap: r.Overlap}, rotationProblem(field.name, err.Error())
		}
		*field.value = value
	}
	if r.Every > 0 && r.Overlap > r.Every {
		overlap := spec.Overlap
		if overlap == "" {
			overlap = defaultOverlap
		}
		return Rotation{Overlap: r.Overlap}, rotationProblem("overlap",
			fmt.Sprintf("%s is longer than every %s; write a shorter overlap", overlap, spec.Every))
	}
	return r, nil
}

// RotationUnder is RotationOf, and also says what is wrong with the rotation under the
// group's keyPolicy, where there is a group: a key that lives for seconds would rotate all
// the time.
func RotationUnder(key *v1alpha1.ApiKey, group *v1alpha1.Group) (Rotation, *Problem) {
	r, problem := RotationOf(key)
	if problem != nil || group == nil || r.Every == 0 || key.Spec.ExpiresAt != nil {
		return r, problem
	}
	start := time.Unix(0, 0)
	expiresAt, problem := Expiry(key, group, start)
	if lifetime := expiresAt.Sub(start); problem == nil && !expiresAt.IsZero() && lifetime < minRotating {
		r.Every = 0
		return r, rotationProblem("every", fmt.Sprintf("a key that lives for %s cannot rotate by itself; let it live for at least %s", lifetime, minRotating))
	}
	return r, nil
}

func rotationProblem(field, message string) *Problem {
	return &Problem{Reason: v1alpha1.ReasonInvalidSpec, Field: "spec.rotation." + field, Message: message}
}

// RotatesAt is when a version is replaced by the schedule; zero if never. A version whose
// successor would live longer is replaced early enough for the overlap to fit in before it
// expires, but not before two thirds of its life.
func (r Rotation) RotatesAt(key *v1alpha1.ApiKey, version *v1alpha1.KeyVersion) time.Time {
	if r.Every == 0 {
		return time.Time{}
	}
	at := version.MintedAt.Add(r.Every)
	if version.ExpiresAt == nil {
		return at
	}
	if key.Spec.ExpiresAt != nil {
		if !at.Before(version.ExpiresAt.Time) {
			return time.Time{}
		}
		return at
	}
	lifetime := version.ExpiresAt.Sub(version.MintedAt.Time)
	if latest := version.ExpiresAt.Add(-min(r.Overlap, lifetime/3)); latest.Before(at) {
		return latest
	}
	return at
}
