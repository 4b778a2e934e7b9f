package grant

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Defaults of keyPolicy, for Groups that were stored without them.
const (
	DefaultPrefix   = "kw"
	defaultLifetime = "90d"
)

// Prefix of the keys of the group.
func Prefix(group *v1alpha1.Group) string {
	if group.Spec.KeyPolicy.Prefix == "" {
		return DefaultPrefix
	}
	return group.Spec.KeyPolicy.Prefix
}

// Expiry is the instant at which a key of the group that is minted at mintedAt ends; the
// zero time means never. The problem says why the group's keyPolicy does not allow what the
// key declares.
func Expiry(key *v1alpha1.ApiKey, group *v1alpha1.Group, mintedAt time.Time) (time.Time, *Problem) {
	if at := key.Spec.ExpiresAt; at != nil {
		return checkInstant(group, "spec.expiresAt", at.Time, mintedAt)
	}
	policy := group.Spec.KeyPolicy
	declared, field := key.Spec.ExpiresAfter, "spec.expiresAfter"
	if declared == "" {
		declared, field = v1alpha1.Lifetime(defaultLifetimeOf(policy)), "spec.expiresAfter (the Group's defaultLifetime)"
	}
	if declared == v1alpha1.LifetimeNever {
		if policy.AllowNever == nil || !*policy.AllowNever {
			return time.Time{}, lifetimeProblem(field, "keys of Group %s/%s must expire; give a lifetime, or set keyPolicy.allowNever on the Group",
				group.Namespace, group.Name)
		}
		return time.Time{}, nil
	}
	lifetime, err := ParseDuration(v1alpha1.Duration(declared))
	if err != nil {
		return time.Time{}, &Problem{Reason: v1alpha1.ReasonInvalidSpec, Field: field, Message: err.Error()}
	}
	if lifetime < time.Second {
		return time.Time{}, &Problem{Reason: v1alpha1.ReasonInvalidSpec, Field: field, Message: "a key lives at least 1s"}
	}
	return checkInstant(group, field, mintedAt.Add(lifetime), mintedAt)
}

// defaultLifetimeOf is the declared default, or else the general one as far as it is allowed.
func defaultLifetimeOf(policy v1alpha1.KeyPolicy) v1alpha1.Duration {
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

// DeclaresExpiry is whether the key says itself when it ends, so that an edit is meant for
// the versions that exist already. A group's default applies at minting only.
func DeclaresExpiry(key *v1alpha1.ApiKey) bool {
	return key.Spec.ExpiresAt != nil || key.Spec.ExpiresAfter != ""
}

// KeyPolicy returns what is wrong with the group's keyPolicy, or nil.
func KeyPolicy(group *v1alpha1.Group) *Problem {
	policy := group.Spec.KeyPolicy
	lifetimes := map[string]time.Duration{}
	for field, text := range map[string]v1alpha1.Duration{
		"spec.keyPolicy.defaultLifetime": policy.DefaultLifetime,
		"spec.keyPolicy.maxLifetime":     policy.MaxLifetime,
	} {
		if text == "" {
			continue
		}
		lifetime, err := ParseDuration(text)
		if err == nil && lifetime < time.Second {
			err = fmt.Errorf("a key lives at least 1s")
		}
		if err != nil {
			return &Problem{Reason: v1alpha1.ReasonInvalidSpec, Field: field, Message: err.Error()}
		}
		lifetimes[field] = lifetime
	}
	longest, bounded := lifetimes["spec.keyPolicy.maxLifetime"]
	if bounded && lifetimes["spec.keyPolicy.defaultLifetime"] > longest {
		return &Problem{
			Reason: v1alpha1.ReasonInvalidSpec, Field: "spec.keyPolicy.defaultLifetime",
			Message: fmt.Sprintf("%s is longer than maxLifetime %s; shorten it, or raise maxLifetime", policy.DefaultLifetime, policy.MaxLifetime),
		}
	}
	return nil
}

// ParseDuration reads a Duration of the API.
func ParseDuration(text v1alpha1.Duration) (time.Duration, error) {
	d, err := model.ParseDuration(string(text))
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write for instance 90d, 24h or 15m", text)
	}
	return time.Duration(d), nil
}

func checkInstant(group *v1alpha1.Group, field string, expiresAt, mintedAt time.Time) (time.Time, *Problem) {
	policy := group.Spec.KeyPolicy
	if !expiresAt.After(mintedAt) {
		return time.Time{}, lifetimeProblem(field, "%s is over; give a later instant", expiresAt.UTC().Format(time.RFC3339))
	}
	if policy.MaxLifetime == "" {
		return expiresAt, nil
	}
	longest, err := ParseDuration(policy.MaxLifetime)
	if err != nil {
		return time.Time{}, &Problem{Reason: v1alpha1.ReasonInvalidSpec, Field: "spec.keyPolicy.maxLifetime of the Group", Message: err.Error()}
	}
	if latest := mintedAt.Add(longest); expiresAt.After(latest) {
		return time.Time{}, lifetimeProblem(field, "keys of Group %s/%s live at most %s, this one until %s; shorten it, or raise keyPolicy.maxLifetime on the Group",
			group.Namespace, group.Name, policy.MaxLifetime, latest.UTC().Format(time.RFC3339))
	}
	return expiresAt, nil
}

func lifetimeProblem(field, format string, args ...any) *Problem {
	return &Problem{Reason: v1alpha1.ReasonLifetimeNotAllowed, Field: field, Message: fmt.Sprintf(format, args...)}
}
