package lifecycle

import (
	"slices"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// contestedFrom is how many versions in a row are lost, each soon after it was minted, for the Secret to count as contested.
	contestedFrom = 3
	// contestedFor is how long after the last loss it does.
	contestedFor = 2 * longestPause
)

// slowContests are how many versions are lost within a time for the Secret to count as contested by something slower, such as a
// controller that writes it every ten minutes, or every hour.
var slowContests = []struct {
	losses int
	within time.Duration
}{{contestedFrom, time.Hour}, {6, 24 * time.Hour}}

// Contest is that something else keeps taking the text out of the key's Secret. What is known of it is in the versions, so it
// outlives the process.
type Contest struct {
	// Until is when it is over, if nothing is lost any more.
	Until time.Time
	// Slow is that it leaves the key in place for long enough to be used: its apps have to follow, and each loss is announced.
	Slow bool
}

// contest counts how many versions were lost one after the other. A version that is lost stays accepted until its successor is
// delivered; its text is stored nowhere, so it cannot be put back.
func (p *planner) contest() *Contest {
	active := p.active()
	if active == nil || Revoked(p.in.Key) {
		return nil
	}
	var lost []time.Time // when, the latest first; those that follow each other soon are one
	if !p.carries(active) && active.ClaimedAt == nil && p.pending() == nil {
		lost = append(lost, p.now) // it is about to be replaced
	}
	fast, soon, last, later := len(lost), true, time.Time{}, time.Time{}
	for i := range slices.Backward(p.out.Versions) {
		v := &p.out.Versions[i]
		if soon = soon && v.Cause == v1alpha1.CauseReplaced && (later.IsZero() || later.Sub(v.MintedAt.Time) <= contestedFor); soon {
			fast++
		}
		if v.Cause != v1alpha1.CauseReplaced {
			continue
		}
		if later = v.MintedAt.Time; last.IsZero() {
			last = later
		}
		if len(lost) == 0 || lost[len(lost)-1].Sub(later) > contestedFor {
			lost = append(lost, later)
		}
	}
	if until := last.Add(contestedFor); fast >= contestedFrom && p.now.Before(until) {
		p.wakeAt(until)
		return &Contest{Until: until}
	}
	return p.slowContest(lost)
}

// slowContest returns the contest in which versions were lost at these times, the latest first.
func (p *planner) slowContest(lost []time.Time) *Contest {
	var contest *Contest
	for _, slow := range slowContests {
		if len(lost) < slow.losses {
			continue
		}
		until := lost[slow.losses-1].Add(slow.within)
		if p.now.Before(until) && (contest == nil || until.After(contest.Until)) {
			contest = &Contest{Until: until, Slow: true}
		}
	}
	if contest != nil {
		p.wakeAt(contest.Until)
	}
	return contest
}

// contested reports whether versions are lost so fast that nothing has to follow them.
func (p *planner) contested() bool { return p.out.Contest != nil && !p.out.Contest.Slow }

// quieten leaves out the events of each version that is lost in a contest, which has one event of its own.
func (p *planner) quieten() {
	if !p.contested() {
		return
	}
	p.out.Notes = slices.DeleteFunc(p.out.Notes, func(n Note) bool {
		switch n.Reason {
		case v1alpha1.ReasonMinted, v1alpha1.ReasonDelivered, v1alpha1.ReasonRevoked, v1alpha1.ReasonVersionDropped:
			return true
		}
		return false
	})
}
