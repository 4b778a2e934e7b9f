package view

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/specchange"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// Suspend asks whether a key is to be refused until it is resumed.
func (s *Sight) Suspend(group *v1alpha1.Group, recorded *v1alpha1.GroupUsage, key *v1alpha1.ApiKey) page.Suspend {
	at := s.key(key)
	return page.Suspend{Name: key.Name, Action: at.Of("suspend"), Back: at.Of(), Use: s.use(group, recorded, key), Cannot: CannotSuspend(key)}
}

// Revoke asks for the name of a key before it ends for ever.
func (s *Sight) Revoke(group *v1alpha1.Group, recorded *v1alpha1.GroupUsage, key *v1alpha1.ApiKey) page.Revoke {
	at := s.key(key)
	return page.Revoke{Name: key.Name, Action: at.Of("revoke"), Back: at.Of(), Use: s.use(group, recorded, key), Cannot: HasEnded(key)}
}

// Resume asks whether a suspended key is to be accepted again.
func (s *Sight) Resume(group *v1alpha1.Group, key *v1alpha1.ApiKey) page.Resume {
	at := s.key(key)
	resume := page.Resume{Name: key.Name, Action: at.Of("resume"), Back: at.Of(), Cannot: CannotResume(key)}
	if accepted := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionAccepted); accepted != nil &&
		accepted.Reason == v1alpha1.ReasonSuspended {
		resume.Since = accepted.LastTransitionTime.Time
	}
	changes := specchange.Of(key.Annotations)
	for _, change := range slices.Backward(changes) {
		if f, changed := change.Field(specchange.FieldSuspended); changed && f.After == "true" {
			resume.Since, resume.By = change.At, change.User
			break
		}
	}
	switch group.Spec.State {
	case v1alpha1.GroupFrozen:
		resume.Remains = "The Group is frozen: the key is refused until it is Active again."
	case v1alpha1.GroupSuspended:
		resume.Remains = "The Group is suspended: the key is refused until it is Active again."
	case v1alpha1.GroupActive:
	}
	return resume
}

// Claim asks before the text of a key is shown.
func (s *Sight) Claim(key *v1alpha1.ApiKey) page.Claim {
	at := s.key(key)
	return page.Claim{Name: key.Name, Action: at.Of("claim"), Back: at.Of(), Cannot: CannotClaim(key)}
}

// CannotClaim says why the text of a key is never shown; empty if it may be.
func CannotClaim(key *v1alpha1.ApiKey) string {
	if !isOnce(key) {
		return "This key is not shown: applications read it from its Secret."
	}
	return HasEnded(key)
}

// shownOrigins is how many origins are named.
const shownOrigins = 5

// use is what a key is used for, as far as the cluster knows: its requests by day, and the origins of its Group.
func (s *Sight) use(group *v1alpha1.Group, recorded *v1alpha1.GroupUsage, key *v1alpha1.ApiKey) page.Use {
	use := page.Use{Last: timeOf(key.Status.LastUsedAt)}
	days := usagequery.KeyDays(key)
	today := s.Now.UTC()
	use.Today = days[today.Format(time.DateOnly)]
	for i := range 7 {
		use.Week += days[today.AddDate(0, 0, -i).Format(time.DateOnly)]
	}
	of := usagequery.Of(group, recorded)
	period, err := of.PeriodNamed(usagequery.Running(tier.Schedule(group), "", s.Now).String())
	if err != nil {
		return use
	}
	origins := slices.Clone(period.Origins)
	slices.SortStableFunc(origins, func(a, b v1alpha1.OriginCount) int {
		return int(max(-1, min(1, ptr.Deref(b.Requests, 0)-ptr.Deref(a.Requests, 0))))
	})
	for _, origin := range origins[:min(len(origins), shownOrigins)] {
		use.Origins = append(use.Origins, origin.Origin)
	}
	return use
}
