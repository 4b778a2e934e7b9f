package view

import (
	"time"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// Group is a row of the list of Groups. ambiguous reports whether other namespaces are in the list, so that this one is named.
func Group(group *v1alpha1.Group, now time.Time, ambiguous bool) page.Group {
	of := place.Group{Namespace: group.Namespace, Name: group.Name}
	row := page.Group{Name: group.Name, Href: of.Of(), Tier: Tier(group), State: groupState(group)}
	if ambiguous {
		row.Name = group.Namespace + "/" + group.Name
	}
	if keys := group.Status.Keys; keys != nil {
		row.Keys = int64(ptr.Deref(keys.Active, 0))
	}
	if usage := group.Status.Usage; usage != nil && usagequery.Running(tier.Schedule(group), usage.Period, now).String() == usage.Period {
		row.Requests = ptr.Deref(usage.Requests, 0)
	}
	return row
}

// Tier returns the tier of a Group that is in force.
func Tier(group *v1alpha1.Group) string {
	if limits := group.Status.Limits; limits != nil && limits.Tier != "" {
		return limits.Tier
	}
	return group.Spec.Tier
}
