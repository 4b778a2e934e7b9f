package quota

import (
	"testing"
	"testing/synctest"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

func whole100(used, recorded uint64) func(*syncv1.Allowance) {
	return func(a *syncv1.Allowance) {
		a.Key, a.Whole = limitedKey, &syncv1.WholeQuota{Requests: 100, Used: used}
		a.Recorded = &syncv1.GroupUse{Leased: a.GetLeased(), Sequence: a.GetSequence(), Spent: recorded, Requests: recorded}
	}
}

// TestAbout: what is left is what the manager says, less what this server has admitted since, and to ask spends nothing.
func TestAbout(t *testing.T) {
	b, group := newTracker(), limited(false)
	b.SetKeyQuotas(true)
	about := func() Whole { return b.About(t.Context(), group, limitedKey, now) }
	if is := about(); is.Known || !is.ResetsAt.Equal(now.Add(228*time.Hour)) {
		t.Errorf("without the manager: %+v", is)
	}
	b.lease(5, 1, ofKey)
	if is := about(); is.Known {
		t.Errorf("from a manager that does not say it: %+v", is)
	}
	b.lease(5, 1, whole100(40, 0))
	b.lease(100, 1)
	for left := range 3 {
		if is := about(); !is.Known || is.Requests != 100 || is.Left != uint64(60-left) {
			t.Errorf("after %d requests: %+v", left, is)
		}
		if code, _ := b.Spend(t.Context(), group, limitedKey, 1, now); code != decision.Allowed {
			t.Fatal(code)
		}
	}
	b.lease(5, 1, whole100(52, 2)) // two of this server, and others have used ten
	if is := about(); is.Left != 47 {
		t.Errorf("after others have used some: %+v", is)
	}
	b.lease(5, 1, whole100(120, 2)) // the quota was lowered
	if is := about(); is.Left != 0 {
		t.Errorf("beyond the quota: %+v", is)
	}
	if use := b.useOf(limitedKey); use.spent != 3 {
		t.Errorf("in the end: %+v", use)
	}
}

// TestAboutAsks: the manager is asked where it has said nothing, or not lately, once in a second, and waited for for a short time.
func TestAboutAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, at := newTracker(), now
		b.SetConnected(true)
		b.SetKeyQuotas(true)
		about := func() chan Whole {
			done := make(chan Whole, 1)
			go func() { done <- b.About(t.Context(), limited(false), limitedKey, at) }()
			synctest.Wait()
			return done
		}
		first := about()
		if due := b.Urgent(at); len(due) != 1 || due[0].GetKey() != limitedKey || due[0].GetWants() == 0 || due[0].GetRequests() != 0 {
			t.Fatalf("it is reported that %v", due)
		}
		b.lease(16, 1, whole100(40, 0))
		if is := <-first; is.Left != 60 {
			t.Errorf("%+v", is)
		}
		for range 3 { // it is known
			if is := <-about(); is.Left != 60 || len(b.Urgent(at)) > 0 {
				t.Errorf("%+v", is)
			}
		}
		at = at.Add(wholeFor)
		second, began := about(), time.Now()
		if due := b.Urgent(at); len(due) != 1 || due[0].GetWants() != 0 {
			t.Errorf("it is reported that %v", due)
		}
		if is := <-second; is.Left != 60 || time.Since(began) != allowanceTimeout {
			t.Errorf("%+v after %v", is, time.Since(began))
		}
		if is := <-about(); is.Left != 60 || len(b.Urgent(at)) > 0 {
			t.Error("the manager is asked for each request")
		}
		b.lease(16, 1, whole100(50, 0))
		if is := <-about(); is.Left != 50 {
			t.Errorf("%+v", is)
		}
	})
}
