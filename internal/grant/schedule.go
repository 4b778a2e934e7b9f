package grant

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// jitterShare is which share of the age at which a version is replaced its jitter is at most, by default.
const jitterShare = 20

// parseSchedule reads the window and the jitter, and reports what is wrong with them.
func parseSchedule(spec *v1alpha1.Rotation, r *Rotation) (problems Problems) {
	if spec.Jitter != "" {
		jitter, err := ParseDuration(spec.Jitter)
		if err == nil && r.Every > 0 && jitter > r.Every/2 {
			err = fmt.Errorf("%s is longer than half of every %s; write a shorter jitter", spec.Jitter, spec.Every)
		}
		if err != nil {
			problems = append(problems, rotationProblem("jitter", spec.Jitter, err.Error()))
		}
		r.Jitter = &jitter
	}
	if spec.Window == nil {
		return problems
	}
	window, problem := parseWindow(spec.Window)
	if problem != nil {
		return append(problems, problem)
	}
	r.Window = window
	// With the default jitter, and a day of the clock in reserve, a window opens in each period.
	pause := window.longestPause()
	if least := time.Duration(pause+1) * dayLength; r.Every > 0 && r.Every < least {
		problems = append(problems, rotationProblem("every", spec.Every, fmt.Sprintf(
			"%s is too short for a window that opens every %d days; write at least %dd, or more days", spec.Every, pause, pause+1)))
	}
	return problems
}

// latest is the instant at which the schedule replaces a version at the latest, in whole seconds; zero means never. A version
// whose successor would live longer is replaced early enough for the overlap to fit in before the version expires, but not
// before two thirds of its lifetime, and not within a minute: then it expires first.
func (r Rotation) latest(key *v1alpha1.ApiKey, version *v1alpha1.KeyVersion) time.Time {
	if r.Every == 0 {
		return time.Time{}
	}
	at := version.MintedAt.Add(r.Every)
	if version.ExpiresAt == nil {
		return at
	}
	if end := key.Spec.ExpiresAt; end != nil && !version.ExpiresAt.Before(end) {
		if !at.Before(version.ExpiresAt.Time) {
			return time.Time{}
		}
		return at
	}
	lifetime := version.ExpiresAt.Sub(version.MintedAt.Time)
	latest := version.ExpiresAt.Add(-min(r.Overlap, lifetime/3))
	if soonest := SoonestAfter(version); latest.Before(soonest) {
		latest = soonest
	}
	if latest.Before(at) {
		return latest.Truncate(time.Second)
	}
	return at
}

// SoonestAfter returns from when on the schedule replaces a version, though it lives shorter because of its Group's keyPolicy.
func SoonestAfter(version *v1alpha1.KeyVersion) time.Time { return version.MintedAt.Add(minEvery) }

// RotatesAt returns when the schedule replaces a version, in whole seconds; zero means never. That is earlier than the latest
// instant by the jitter of the key, and in the last window before that. If no window opens before the latest instant, for
// instance because the version expires before, it is without one.
func (r Rotation) RotatesAt(key *v1alpha1.ApiKey, version *v1alpha1.KeyVersion) time.Time {
	at, _ := r.plan(key, version, r.latest(key, version))
	return at
}

// plan plans the rotation, and reports whether it is in a window.
func (r Rotation) plan(key *v1alpha1.ApiKey, version *v1alpha1.KeyVersion, latest time.Time) (at time.Time, placed bool) {
	if latest.IsZero() {
		return latest, false
	}
	age := latest.Sub(version.MintedAt.Time)
	jitter := age / jitterShare
	if r.Jitter != nil {
		jitter = min(*r.Jitter, age/2)
	}
	at = latest.Add(-time.Duration(share(key, "jitter") * float64(jitter)).Truncate(time.Second))
	if r.Window == nil {
		return at, false
	}
	if in, ok := r.Window.last(version.MintedAt.Time, at, share(key, "window")); ok {
		return in, true
	}
	if in, ok := r.Window.next(at, share(key, "window")); ok && !in.After(latest) {
		return in, true
	}
	return at, false
}

// Next is RotatesAt as of an instant: a rotation that was missed in its window waits for the next one, if that is in time. If
// the rotation is due in a window, closes is when that ends.
func (r Rotation) Next(key *v1alpha1.ApiKey, version *v1alpha1.KeyVersion, now time.Time) (at, closes time.Time) {
	latest := r.latest(key, version)
	at, placed := r.plan(key, version, latest)
	if !placed || now.Before(at) || !now.Before(latest) {
		return at, time.Time{} // it does not wait for another window
	}
	if opens, closes, open := r.Window.At(now); open && !now.Before(interval{opens, closes}.place(share(key, "window"))) {
		return at, closes
	}
	if next, ok := r.Window.next(now, share(key, "window")); ok && !next.After(latest) {
		return next, time.Time{}
	}
	return latest, time.Time{}
}

// share is a number from 0 to 1, without 1, that is the same for a key at all times, also after it was restored from a backup
// with another UID, and spreads keys evenly.
func share(key *v1alpha1.ApiKey, of string) float64 {
	sum := sha256.Sum256([]byte(of + "/" + key.Namespace + "/" + key.Name))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}
