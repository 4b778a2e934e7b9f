package grant

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// maxRequest is how many bytes a request to rotate has at most.
const maxRequest = 256

// overlapOption precedes the overlap in a request to rotate.
const overlapOption = ";overlap="

// misspelled is what a name does not contain: somebody who writes it means the overlapOption. If that were a part of the name, a key
// that has leaked would stay accepted for the declared overlap.
var misspelled = regexp.MustCompile(`(?i);|overlap`)

// maxRequestedOverlap is the longest overlap of a request to a key that neither rotates by a schedule nor has a lifetime.
const maxRequestedOverlap = 365 * 24 * time.Hour

// RotateRequest returns the request to rotate that an ApiKey carries in the annotation AnnotationRotateRequestedAt; empty if
// there is none, or one that RequestProblem reports.
func RotateRequest(key *v1alpha1.ApiKey) string {
	if RequestProblem(key) != nil {
		return ""
	}
	return key.Annotations[v1alpha1.AnnotationRotateRequestedAt]
}

// RequestProblem returns why the key's request to rotate is ignored, or nil.
func RequestProblem(key *v1alpha1.ApiKey) *Problem {
	request := key.Annotations[v1alpha1.AnnotationRotateRequestedAt]
	const path = "metadata.annotations[" + v1alpha1.AnnotationRotateRequestedAt + "]"
	if len(request) > maxRequest || !utf8.ValidString(request) ||
		strings.ContainsFunc(request, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return invalid(path, nil, "write at most 256 bytes of readable text, for instance the time: 2026-11-26T22:57:00Z")
	}
	name, text, has := strings.Cut(request, overlapOption)
	if misspelled.MatchString(name) {
		return invalid(path, request, "write the time, for instance 2026-11-26T22:57:00Z; an overlap of its own is written in lower case and "+
			"without spaces, at the end: "+overlapOption+"0s")
	}
	if !has {
		return nil
	}
	if _, err := ParseDuration(v1alpha1.Duration(text)); err != nil {
		return invalid(path, request, "behind "+overlapOption+": "+err.Error())
	}
	return nil
}

// RequestedOverlapProblem returns why the overlap of a new request to rotate is too long, or nil. A declared overlap is bounded in
// the same way. What was requested before stays when the schedule is edited, and is then cut by that.
func RequestedOverlapProblem(key *v1alpha1.ApiKey) *Problem {
	request := RotateRequest(key)
	overlap := RequestedOverlap(request)
	if overlap == nil {
		return nil
	}
	bound, of := maxRequestedOverlap, "a year"
	for _, field := range []struct{ name, text string }{
		{"spec.expiresAfter", string(key.Spec.ExpiresAfter)}, {"spec.rotation.every", string(key.Spec.Rotation.Every)},
	} {
		if length, err := ParseDuration(v1alpha1.Duration(field.text)); err == nil && length < bound {
			bound, of = length, field.name+" "+field.text
		}
	}
	if *overlap <= bound {
		return nil
	}
	return invalid("metadata.annotations["+v1alpha1.AnnotationRotateRequestedAt+"]", request,
		"the overlap is longer than "+of+"; write a shorter one")
}

// RequestTime returns the time that a request to rotate names, alone or as NameRotateRequest does; false if it names none.
func RequestTime(request string) (time.Time, bool) {
	name, _, _ := strings.Cut(request, overlapOption)
	at, err := time.Parse(time.RFC3339, name)
	if unique := strings.LastIndexByte(name, '-'); err != nil && unique >= 0 {
		at, err = time.Parse(time.RFC3339, name[:unique])
	}
	return at, err == nil
}

// RequestedOverlap returns the overlap that a request to rotate asks for in place of the declared one, or nil.
func RequestedOverlap(request string) *time.Duration {
	_, text, has := strings.Cut(request, overlapOption)
	if !has {
		return nil
	}
	overlap, err := ParseDuration(v1alpha1.Duration(text))
	if err != nil {
		return nil
	}
	return &overlap
}

// NameRotateRequest returns the name of a request to rotate that is made at an instant. What is unique keeps requests of the same
// second apart.
func NameRotateRequest(at time.Time, unique string) string {
	return at.UTC().Format(time.RFC3339) + "-" + unique
}

// NewRotateRequest returns a request to rotate of that name, with an overlap in place of the declared one if it is not empty.
func NewRotateRequest(name string, overlap v1alpha1.Duration) string {
	if overlap == "" {
		return name
	}
	return name + overlapOption + string(overlap)
}
