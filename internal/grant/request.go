package grant

import (
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
	if _, text, has := strings.Cut(request, overlapOption); has {
		if _, err := ParseDuration(v1alpha1.Duration(text)); err != nil {
			return invalid(path, request, "behind "+overlapOption+": "+err.Error())
		}
	}
	return nil
}

// RequestTime returns the time that a request to rotate names; false if its name is none.
func RequestTime(request string) (time.Time, bool) {
	name, _, _ := strings.Cut(request, overlapOption)
	at, err := time.Parse(time.RFC3339, name)
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

// NewRotateRequest returns a request to rotate of that name, with an overlap in place of the declared one if it is not empty.
func NewRotateRequest(name string, overlap v1alpha1.Duration) string {
	if overlap == "" {
		return name
	}
	return name + overlapOption + string(overlap)
}
