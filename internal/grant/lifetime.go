package grant

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// The defaults of keyPolicy, for Groups that were stored without them.
const (
	DefaultPrefix   = "kw"
	defaultLifetime = "90d"
)

// Prefix returns the prefix of the group's keys.
func Prefix(group *v1alpha1.Group) string {
	if group.Spec.KeyPolicy.Prefix == "" {
		return DefaultPrefix
	}
	return group.Spec.KeyPolicy.Prefix
}

// Expiry returns the instant at which a key of the group that is minted at mintedAt expires; the
// zero time means never. The problem says why the group's keyPolicy does not allow what the
// key declares.
func Expiry(key *v1alpha1.ApiKey, group *v1alpha1.Group, mintedAt time.Time) (time.Time, *Problem) {
	if at := key.Spec.ExpiresAt; at != nil {
		return checkInstant(group, "spec.expiresAt", at.Time, mintedAt)
	}
	policy := group.Spec.KeyPolicy
	const path = "spec.expiresAfter"
	declared, defaulted := key.Spec.ExpiresAfter, ""
	if declared == "" {
		declared, defaulted = v1alpha1.Lifetime(DefaultLifetime(policy)), "the Group's defaultLifetime: "
	}
	if declared == v1alpha1.LifetimeNever {
		if policy.AllowNever == nil || !*policy.AllowNever {
			return time.Time{}, lifetimeProblem(path,
				"keys of Group %s/%s must expire; give a lifetime, or set keyPolicy.allowNever on the Group",
				group.Namespace, group.Name)
		}
		return time.Time{}, nil
	}
	lifetime, err := ParseDuration(v1alpha1.Duration(declared))
	if err != nil {
		return time.Time{}, invalid(path, string(declared), defaulted+err.Error())
	}
	if lifetime < time.Second {
		return time.Time{}, invalid(path, string(declared), defaulted+errLifetimeTooShort.Error())
	}
	expiresAt, problem := checkInstant(group, path, mintedAt.Add(lifetime), mintedAt)
	if problem != nil {
		problem.Message = defaulted + problem.Message
	}
	return expiresAt, problem
}

// CappedExpiry is Expiry for a key that exists already, and whose lifetime the policy may have allowed earlier: it is shortened to
// what the policy allows now.
func CappedExpiry(key *v1alpha1.ApiKey, group *v1alpha1.Group, mintedAt time.Time) (time.Time, *Problem) {
	expiresAt, problem := Expiry(key, group, mintedAt)
	if problem == nil || !problem.Elsewhere {
		return expiresAt, problem
	}
	return mintedAt.Add(longest(group.Spec.KeyPolicy)), nil
}

// ExpiryOfExisting returns when a version of the key expires that exists already, and that expires at has unless something else
// was declared since; zero means never. A policy that was tightened since does not shorten its life, and what the
// key declares does not extend it beyond the policy.
func ExpiryOfExisting(key *v1alpha1.ApiKey, group *v1alpha1.Group, mintedAt, has time.Time) (time.Time, *Problem) {
	expiresAt, problem := Expiry(key, group, mintedAt)
	if problem == nil || !problem.Elsewhere {
		return expiresAt, problem
	}
	if latest := mintedAt.Add(longest(group.Spec.KeyPolicy)); !has.IsZero() && latest.After(has) {
		has = latest
	}
	free, allow := *group, true // nothing below the policy is changed, so nothing else is copied
	free.Spec.KeyPolicy.MaxLifetime, free.Spec.KeyPolicy.AllowNever = "", &allow
	declared, problem := Expiry(key, &free, mintedAt)
	if problem != nil || declared.IsZero() || !has.IsZero() && has.Before(declared) {
		return has, problem
	}
	return declared, nil
}

// longest returns how long keys live at most under a policy whose durations are valid; without a maximum, as long as keys
// that declare nothing.
func longest(policy v1alpha1.KeyPolicy) time.Duration {
	text := policy.MaxLifetime
	if text == "" {
		text = DefaultLifetime(policy)
	}
	lifetime, err := ParseDuration(text)
	if err != nil {
		lifetime, _ = ParseDuration(defaultLifetime)
	}
	return lifetime
}

// DefaultLifetime returns the declared default, or else the general one, or maxLifetime where that is shorter.
func DefaultLifetime(policy v1alpha1.KeyPolicy) v1alpha1.Duration {
	if policy.DefaultLifetime != "" {
		return policy.DefaultLifetime
	}
	longest, err := ParseDuration(policy.MaxLifetime)
	general, _ := ParseDuration(defaultLifetime)
	if err == nil && longest < general {
		return policy.MaxLifetime
	}
	return defaultLifetime
}

// DeclaresExpiry reports whether the key itself declares when it expires, so that an edit also applies to
// the versions that exist already. A group's default applies at minting only.
func DeclaresExpiry(key *v1alpha1.ApiKey) bool {
	return key.Spec.ExpiresAt != nil || key.Spec.ExpiresAfter != ""
}

var errLifetimeTooShort = errors.New("a key lives at least 1s; write a longer lifetime")

// keyPolicy returns all that is wrong with the group's keyPolicy.
func keyPolicy(group *v1alpha1.Group) Problems {
	policy := group.Spec.KeyPolicy
	var problems Problems
	parse := func(path string, text v1alpha1.Duration) time.Duration {
		if text == "" {
			return 0
		}
		lifetime, err := ParseDuration(text)
		if err == nil && lifetime < time.Second {
			err = errLifetimeTooShort
		}
		if err != nil {
			problems = append(problems, invalid(path, string(text), err.Error()))
			return 0
		}
		return lifetime
	}
	const path = "spec.keyPolicy.defaultLifetime"
	usual, longest := parse(path, policy.DefaultLifetime), parse("spec.keyPolicy.maxLifetime", policy.MaxLifetime)
	if longest > 0 && usual > longest {
		problems = append(problems, invalid(path, string(policy.DefaultLifetime),
			fmt.Sprintf("%s is longer than maxLifetime %s; shorten it, or raise maxLifetime", policy.DefaultLifetime, policy.MaxLifetime)))
	}
	return problems
}

// ParseDuration parses a Duration of the API.
func ParseDuration(text v1alpha1.Duration) (time.Duration, error) {
	d, err := model.ParseDuration(string(text))
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write for instance 90d, 24h or 15m", text)
	}
	return time.Duration(d), nil
}

func checkInstant(group *v1alpha1.Group, path string, expiresAt, mintedAt time.Time) (time.Time, *Problem) {
	policy := group.Spec.KeyPolicy
	if !expiresAt.After(mintedAt) {
		text := expiresAt.UTC().Format(time.RFC3339)
		problem := lifetimeProblem(path, "%s is over; give a later instant", text)
		problem.Type, problem.Value, problem.Elsewhere = field.ErrorTypeInvalid, text, false
		return time.Time{}, problem
	}
	if policy.MaxLifetime == "" {
		return expiresAt, nil
	}
	longest, err := ParseDuration(policy.MaxLifetime)
	if err != nil {
		return time.Time{}, invalid(path, nil, "the Group's maxLifetime: "+err.Error())
	}
	if latest := mintedAt.Add(longest); expiresAt.After(latest) {
		return time.Time{}, lifetimeProblem(path,
			"keys of Group %s/%s live at most %s, this one until %s; shorten it, or raise keyPolicy.maxLifetime on the Group",
			group.Namespace, group.Name, policy.MaxLifetime, latest.UTC().Format(time.RFC3339))
	}
	return expiresAt, nil
}

func lifetimeProblem(path, format string, args ...any) *Problem {
	return &Problem{
		Reason: v1alpha1.ReasonLifetimeNotAllowed, Type: field.ErrorTypeForbidden, Field: path, Message: fmt.Sprintf(format, args...),
		Elsewhere: true,
	}
}
