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

// Contest is that something else keeps taking the text out of the key's Secret. What is known of it is in the versions, so it
// outlives the process.
type Contest struct {
	// Until is when it is over, if nothing is lost any more.
	Until time.Time
}

// contest counts how many versions were lost one after the other. A version that is lost stays accepted until its successor is
// delivered; its text is stored nowhere, so it cannot be put back.
func (p *planner) contest() *Contest {
	active := p.active()
	if active == nil || Revoked(p.in.Key) {
		return nil
	}
	losses, last, later := 0, time.Time{}, time.Time{}
	if !p.carries(active) && active.ClaimedAt == nil && p.pending() == nil {
		losses++ // it is about to be replaced
	}
	for i := range slices.Backward(p.out.Versions) {
		v := &p.out.Versions[i]
		if v.Cause != v1alpha1.CauseReplaced || !later.IsZero() && later.Sub(v.MintedAt.Time) > contestedFor {
			break
		}
		if later = v.MintedAt.Time; last.IsZero() {
			last = later
		}
		losses++
	}
	until := last.Add(contestedFor)
	if losses < contestedFrom || !p.now.Before(until) {
		return nil
	}
	p.wakeAt(until)
	return &Contest{Until: until}
}

// quieten leaves out the events of each version that is lost in a contest, which has one event of its own.
func (p *planner) quieten() {
	if p.out.Contest == nil {
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
