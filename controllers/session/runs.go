package session

import (
	"container/list"
	"time"
)

const (
	// runsFor is how long a run of a server is known that was disconnected, at least: a server reports up to a day of use when it is back.
	runsFor = 24 * time.Hour
	// maxRuns and maxRunsOfOne are how many disconnected runs are kept, in all and of one identity.
	maxRuns, maxRunsOfOne = 40_000, 4000
)

// endedRuns are the runs of servers that were disconnected. Whoever can connect can end as many runs as they like, so none of its methods
// looks at all of them.
//
// The Registry's lock guards it. all and of[i], those of one identity, are in the order in which they were added; of has no empty list.
type endedRuns struct {
	known map[Run]endedRun
	all   *list.List // of Run
	of    map[string]*list.List
}

type endedRun struct {
	at         time.Time
	lasting    time.Time // since when it had been connected
	inAll, own *list.Element
}

func newEndedRuns() endedRuns {
	return endedRuns{known: map[Run]endedRun{}, all: list.New(), of: map[string]*list.List{}}
}

// add records that a run has ended, and forgets those that ended longer ago than keep. If there are too many still, the oldest of the
// identity is forgotten, or of any if it has none.
func (e *endedRuns) add(run Run, ended endedRun, keep time.Duration) {
	e.forget(run)
	for oldest := e.all.Front(); oldest != nil; oldest = e.all.Front() {
		if ended.at.Sub(e.known[oldest.Value.(Run)].at) <= keep {
			break
		}
		e.forget(oldest.Value.(Run))
	}
	own := e.of[run.Identity]
	switch {
	case own == nil && len(e.known) >= maxRuns:
		e.forget(e.all.Front().Value.(Run))
	case own != nil && (len(e.known) >= maxRuns || own.Len() >= maxRunsOfOne):
		e.forget(own.Front().Value.(Run))
	}
	if own = e.of[run.Identity]; own == nil {
		own = list.New()
		e.of[run.Identity] = own
	}
	ended.inAll, ended.own = e.all.PushBack(run), own.PushBack(run)
	e.known[run] = ended
}

func (e *endedRuns) forget(run Run) {
	ended, known := e.known[run]
	if !known {
		return
	}
	delete(e.known, run)
	e.all.Remove(ended.inAll)
	own := e.of[run.Identity]
	if own.Remove(ended.own); own.Len() == 0 {
		delete(e.of, run.Identity)
	}
}
