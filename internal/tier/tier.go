// Package tier holds the operator's catalogue of tiers, validates limits, and resolves the limits of a Group:
// pure functions that admission, the controllers and publishing share.
package tier

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Tier is a named set of limits.
type Tier struct {
	Name string
	// AuditLog reports whether the tier includes an audit log.
	AuditLog bool
	// LogRetention is how long the logs of Groups are kept; if it is 0, that depends on AuditLog.
	LogRetention time.Duration
	// LogSize is how many bytes of events the log of a Group may have; if it is 0, DefaultLogSize.
	LogSize int64
	Limits  v1alpha1.Limits
}

// Catalogue is the set of tiers that Groups may name. It does not change after it is made.
type Catalogue struct {
	// Default is the tier of Groups that name none; where it is empty, such Groups have no limits by a tier.
	Default string
	// Tiers have different names.
	Tiers []Tier
}

// Builtin returns the catalogue of a manager that has no other configured. Groups that
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

// Find returns the tier with the name, or nil.
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

// Resolution is the result of resolving a Group's tier.
type Resolution struct {
	// Limits are those in force, for status.limits; nil where there are none.
	Limits *v1alpha1.GroupLimits
	// Named reports whether the Group names a tier, and Found whether the catalogue has the tier.
	Named, Found bool
	// Message describes, for people, how the tier was resolved.
	Message string
}

// Keys returns how many ApiKeys the Group may have, or nil for any number.
func (r *Resolution) Keys() *int32 {
	if r.Limits == nil {
		return nil
	}
	return r.Limits.Keys
}

// Resolve returns the limits of a Group, from its spec and the limits that were last in its
// status. If the tier is not in the catalogue (no longer, or not yet), the Group keeps the
// limits that it had; a Group that never had any gets those of the default tier. The limits
// that the Group sets itself apply in any case.
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
		resolution.Message = fmt.Sprintf("the catalogue has no tier %q; %s. Until then there are no limits but those of spec.limits", name,
			c.names())
		if fallback := c.Find(c.Default); fallback != nil {
			limits = fallback.limits()
			resolution.Message = fmt.Sprintf("the catalogue has no tier %q; %s. Until then the limits are those of the default tier, %s",
				name, c.names(), c.Default)
		}
	}
	override(&limits.Limits, &group.Spec.Limits)
	limits.PeriodStarts = nil // see Schedule
	if !equality.Semantic.DeepEqual(limits, v1alpha1.GroupLimits{}) {
		resolution.Limits = &limits
	}
	return resolution
}

// Warning returns the warning for the user who sets a tier that the catalogue does not have; empty otherwise.
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

// override replaces the limits that the Group sets itself.
func override(limits, by *v1alpha1.Limits) {
	by = by.DeepCopy()
	replace(&limits.Keys, by.Keys)
	replace(&limits.RequestsPerMonth, by.RequestsPerMonth)
	replace(&limits.BytesPerMonth, by.BytesPerMonth)
	replace(&limits.RequestsPerSecond, by.RequestsPerSecond)
	replace(&limits.Burst, by.Burst)
	replace(&limits.Period, by.Period)
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
