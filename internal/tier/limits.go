package tier

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Bounds are the least and the greatest value of a number in v1alpha1.Limits.
type Bounds struct {
	// Field is the name of the number in YAML.
	Field string
	// Min and Max are both allowed.
	Min, Max int64

	value func(*v1alpha1.Limits) *int64
}

// NumberBounds returns the bounds of all numbers in v1alpha1.Limits. The markers of the type repeat them, because a
// marker cannot name a constant; a test compares the two.
func NumberBounds() []Bounds {
	return []Bounds{
		{"keys", 0, 1_000_000, func(l *v1alpha1.Limits) *int64 { return widen(l.Keys) }},
		{"requestsPerMonth", 0, 1_000_000_000_000_000, func(l *v1alpha1.Limits) *int64 { return l.RequestsPerMonth }},
		{"requestsPerSecond", 1, 1_000_000, func(l *v1alpha1.Limits) *int64 { return widen(l.RequestsPerSecond) }},
		{"burst", 1, 1_000_000, func(l *v1alpha1.Limits) *int64 { return widen(l.Burst) }},
	}
}

func widen(n *int32) *int64 {
	if n == nil {
		return nil
	}
	return new(int64(*n))
}

const bytesHint = "write a whole number of bytes of at least 1 and less than 1E, such as 100G, or leave it out for no limit"

func (b *Bounds) hint() string {
	return fmt.Sprintf("write a whole number from %d to %d, or leave it out for no limit", b.Min, b.Max)
}

// ValidateLimits returns what is wrong with limits, of a Group as of a tier.
func ValidateLimits(limits *v1alpha1.Limits, path *field.Path) field.ErrorList {
	var problems field.ErrorList
	for _, bounds := range NumberBounds() {
		if n := bounds.value(limits); n != nil && (*n < bounds.Min || *n > bounds.Max) {
			problems = append(problems, field.Invalid(path.Child(bounds.Field), *n, bounds.hint()))
		}
	}
	if q := limits.BytesPerMonth; q != nil && !isByteCount(q) {
		problems = append(problems, field.Invalid(path.Child("bytesPerMonth"), q.String(), bytesHint))
	}
	problems = append(problems, validatePeriod(limits.Period, path.Child("period"))...)
	problems = append(problems, oneOf(path.Child("overage"), limits.Overage, v1alpha1.OverageBlock, v1alpha1.OverageMeter)...)
	return append(problems, oneOf(path.Child("quotaFailurePolicy"), limits.QuotaFailurePolicy,
		v1alpha1.QuotaFailureAllow, v1alpha1.QuotaFailureDeny)...)
}

func validatePeriod(period *v1alpha1.QuotaPeriod, path *field.Path) field.ErrorList {
	switch {
	case period == nil:
		return nil
	case period.AnchorDay == nil:
		return field.ErrorList{field.Required(path.Child("anchorDay"), anchorHint)}
	case *period.AnchorDay < 1 || *period.AnchorDay > lastDay:
		return field.ErrorList{field.Invalid(path.Child("anchorDay"), *period.AnchorDay, anchorHint)}
	}
	return nil
}

// isByteCount reports whether the quantity is a whole number of at least 1 that 64 bits hold.
// isByteCount is the same as the rule of the schema.
func isByteCount(q *resource.Quantity) bool {
	_, whole := q.AsInt64()
	return whole && q.Sign() > 0 && q.Cmp(resource.MustParse("1E")) < 0
}

// oneOf allows the empty value, which means the default.
func oneOf[T ~string](path *field.Path, value T, choices ...T) field.ErrorList {
	if value == "" {
		return nil
	}
	for _, choice := range choices {
		if value == choice {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(path, value, choices)}
}

// hints say what to write for each field of limits.
func hints() map[string]string {
	hints := map[string]string{
		"bytesPerMonth":      bytesHint,
		"overage":            "write Block or Meter",
		"quotaFailurePolicy": "write Allow or Deny",
		"period":             "write an object such as {anchorDay: 15}",
	}
	for _, bounds := range NumberBounds() {
		hints[bounds.Field] = bounds.hint()
	}
	return hints
}

// InForce returns the limits of a Group that are in force: those that were resolved into its status, or else those of its
// spec, as long as its status has none. They are a part of the Group: read them, change nothing.
func InForce(group *v1alpha1.Group) *v1alpha1.Limits {
	if resolved := group.Status.Limits; resolved != nil {
		return &resolved.Limits
	}
	return &group.Spec.Limits
}
