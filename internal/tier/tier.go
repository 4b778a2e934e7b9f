// Package tier knows the operator's catalogue of tiers, and which limits a Group has by it:
// pure functions, the same for admission, for the controllers and for what is published.
package tier

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Tier are limits with a name.
type Tier struct {
	Name string
	// AuditLog is whether the tier includes an audit log.
	AuditLog bool
	Limits   v1alpha1.Limits
}

// Catalogue are the tiers that Groups may name. It is not changed once it is made.
type Catalogue struct {
	// Default is the tier of Groups that name none; empty for no limits.
	Default string
	// Tiers, each name once.
	Tiers []Tier
}

// Builtin is the catalogue of a manager that is configured to have no other. Groups that
// name no tier have no limits by it.
func Builtin() *Catalogue {
	of := func(name string, requests int64, bytes string, keys int32) Tier {
		return Tier{Name: name, Limits: v1alpha1.Limits{
			Keys: &keys, RequestsPerMonth: &requests, BytesPerMonth: new(resource.MustParse(bytes)),
		}}
	}
	business := of("Business", 10_000_000, "2T", 50)
	business.AuditLog = true
	return &Catalogue{Tiers: []Tier{
		of("Free", 1_000, "1G", 2),
		of("Basic", 50_000, "25G", 5),
		of("Pro", 500_000, "100G", 10),
		of("ProPlus", 2_000_000, "500G", 25),
		business,
		{Name: "Enterprise", AuditLog: true},
	}}
}

// Find returns the tier of the name, nil where there is none.
func (c *Catalogue) Find(name string) *Tier {
	for i := range c.Tiers {
		if c.Tiers[i].Name == name {
			return &c.Tiers[i]
		}
	}
	return nil
}

// names lists the tiers for people.
func (c *Catalogue) names() string {
	if len(c.Tiers) == 0 {
		return "it has none"
	}
	names := make([]string, 0, len(c.Tiers))
	for i := range c.Tiers {
		names = append(names, c.Tiers[i].Name)
	}
	return "it has " + strings.Join(names, ", ")
}

// Resolution is what a Group's tier comes to.
type Resolution struct {
	// Limits in force, for status.limits; nil where there are none.
	Limits *v1alpha1.GroupLimits
	// Named is whether the Group names a tier, and Found whether the catalogue has it.
	Named, Found bool
	// Message is about a tier that is named, for people.
	Message string
}

// Keys is how many ApiKeys the Group may have, nil for any number.
func (r *Resolution) Keys() *int32 {
	if r.Limits == nil {
		return nil
	}
	return r.Limits.Keys
}

// Resolve says which limits a Group has, from its spec and the limits that were last in its
// status. A tier that is not in the catalogue, any more or yet, leaves the Group with the
// limits that it had, and one that never had any with those of the default tier. What the
// Group sets itself holds in any case.
func (c *Catalogue) Resolve(group *v1alpha1.Group) Resolution {
	name := group.Spec.Tier
	if name == "" {
		name = c.Default
	}
	resolution := Resolution{Named: group.Spec.Tier != ""}
	limits, last := v1alpha1.GroupLimits{}, group.Status.Limits
	switch found := c.Find(name); {
	case found != nil:
		limits = found.limits()
		resolution.Found = true
		resolution.Message = fmt.Sprintf("tier %s is in the catalogue", name)
	case name == "":
	case last != nil:
		limits = *last.DeepCopy()
		resolution.Message = fmt.Sprintf("the catalogue has no tier %q; %s. The limits stay as they were", name, c.names())
		if last.Tier != "" && last.Tier != name {
			resolution.Message += ", those of tier " + last.Tier
		}
	default:
		resolution.Message = fmt.Sprintf("the catalogue has no tier %q; %s. Until then there are no limits but those of spec.limits", name, c.names())
		if fallback := c.Find(c.Default); fallback != nil {
			limits = fallback.limits()
			resolution.Message = fmt.Sprintf("the catalogue has no tier %q; %s. Until then the limits are those of the default tier, %s", name, c.names(), c.Default)
		}
	}
	override(&limits.Limits, &group.Spec.Limits)
	if limits != (v1alpha1.GroupLimits{}) {
		resolution.Limits = &limits
	}
	return resolution
}

// Warning is what to tell who sets a tier that the catalogue does not have; empty otherwise.
func (c *Catalogue) Warning(group *v1alpha1.Group) string {
	if resolution := c.Resolve(group); resolution.Named && !resolution.Found {
		return "spec.tier: " + resolution.Message
	}
	return ""
}

func (t *Tier) limits() v1alpha1.GroupLimits {
	limits := v1alpha1.GroupLimits{Tier: t.Name, Limits: *t.Limits.DeepCopy()}
	if t.AuditLog {
		limits.AuditLog = new(true)
	}
	return limits
}

// override replaces what the Group sets itself.
func override(limits, by *v1alpha1.Limits) {
	by = by.DeepCopy()
	replace(&limits.Keys, by.Keys)
	replace(&limits.RequestsPerMonth, by.RequestsPerMonth)
	replace(&limits.BytesPerMonth, by.BytesPerMonth)
	replace(&limits.RequestsPerSecond, by.RequestsPerSecond)
	replace(&limits.Burst, by.Burst)
	if by.Overage != "" {
		limits.Overage = by.Overage
	}
	if by.QuotaFailurePolicy != "" {
		limits.QuotaFailurePolicy = by.QuotaFailurePolicy
	}
}

func replace[T any](value **T, by *T) {
	if by != nil {
		*value = by
	}
}
