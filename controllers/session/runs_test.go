package session

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestEndedRuns: runs are kept for their time, those that were added again as the newest.
func TestEndedRuns(t *testing.T) {
	const keep = time.Hour
	type ended struct {
		run Run
		at  time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		runs, now := newEndedRuns(), begin
		var want []ended
		drawn := func() Run {
			return Run{ID{fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "instance")), fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "identity"))}, "one"}
		}
		without := func(run Run) { want = slices.DeleteFunc(want, func(e ended) bool { return e.run == run }) }
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if len(runs.known) != len(want) || runs.all.Len() != len(want) {
					t.Fatalf("%d are known, %d in order, want %d", len(runs.known), runs.all.Len(), len(want))
				}
				next, of := runs.all.Front(), map[string]int{}
				for _, e := range want {
					if next.Value != e.run || !runs.known[e.run].at.Equal(e.at) {
						t.Fatalf("%v at %v, want %v at %v", next.Value, runs.known[e.run].at, e.run, e.at)
					}
					next = next.Next()
					of[e.run.Identity]++
				}
				for identity, own := range runs.of {
					if own.Len() != of[identity] || own.Len() == 0 {
						t.Fatalf("%d of %s, want %d", own.Len(), identity, of[identity])
					}
				}
			},
			"add": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "minutes")) * time.Minute)
				run := drawn()
				runs.add(run, endedRun{at: now}, keep)
				without(run)
				want = slices.DeleteFunc(want, func(e ended) bool { return now.Sub(e.at) > keep })
				want = append(want, ended{run, now})
			},
			"forget": func(t *rapid.T) {
				run := drawn()
				runs.forget(run)
				without(run)
			},
		})
	})
}

// TestTooManyEndedRuns: who has too many loses the own oldest, and who has none displaces the oldest of all.
func TestTooManyEndedRuns(t *testing.T) {
	runs := newEndedRuns()
	add := func(identity string, i int) {
		runs.add(Run{ID{fmt.Sprint(i), identity}, "one"}, endedRun{at: begin}, time.Hour)
	}
	for identity := range maxRuns / maxRunsOfOne {
		for i := range maxRunsOfOne + 5 {
			add(fmt.Sprint(identity), i)
		}
	}
	add("new", 0)
	add("new", 1)
	if len(runs.known) != maxRuns || runs.of["0"].Len() != maxRunsOfOne-1 || runs.of["1"].Len() != maxRunsOfOne || runs.of["new"].Len() != 1 {
		t.Errorf("%d are kept, of the oldest identity %d, of the next %d, of the new one %d", len(runs.known), runs.of["0"].Len(), runs.of["1"].Len(),
			runs.of["new"].Len())
	}
	if oldest := runs.of["0"].Front().Value.(Run).Instance; oldest != "6" {
		t.Errorf("the oldest that is left is %s", oldest)
	}
}

// BenchmarkEndedRuns has as many as are kept of one identity.
func BenchmarkEndedRuns(b *testing.B) {
	runs := newEndedRuns()
	for i := range b.N {
		runs.add(Run{ID{fmt.Sprint(i), "rogue"}, "one"}, endedRun{at: begin}, time.Hour)
	}
}
