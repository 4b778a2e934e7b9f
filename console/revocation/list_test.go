package revocation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/console/revocation"
	"github.com/keyward-dev/keyward/console/session"
)

var start = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// read writes a list and reads it again.
func read(t interface{ Fatal(...any) }, of *revocation.List, now time.Time) *revocation.List {
	written, err := of.Text()
	if err != nil {
		t.Fatal(err)
	}
	again, err := revocation.Parse(written, now)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestEnded(t *testing.T) {
	t.Parallel()
	later := start.Add(time.Hour)
	list := revocation.Begin(start).WithSession("one", later.Add(session.Most), later).WithPerson("ada", later, later)
	for _, l := range []*revocation.List{list, read(t, list, later)} {
		for _, one := range []struct {
			name, id string
			since    time.Time
			ended    bool
		}{
			{"bob", "two", start, true}, // of which nothing is known
			{"bob", "two", start.Add(time.Millisecond), false},
			{"bob", "one", start.Add(time.Minute), true},
			{"ada", "three", start.Add(time.Minute), true},
			{"ada", "three", later, true},
			{"ada", "three", later.Add(time.Millisecond), false},
			{"one", "ada", start.Add(time.Minute), false}, // a session is no name
		} {
			if got := l.Ended(one.name, one.id, one.since); got != one.ended {
				t.Errorf("%+v: %v", one, got)
			}
		}
	}
	written, err := list.Text()
	if err != nil || strings.Contains(written, "ada") || strings.Contains(written, "one") {
		t.Errorf("%v: it names whom it is of: %s", err, written)
	}
}

// A person who signs out twice stays signed out of what began before the later time, whichever comes first.
func TestTheLaterTimeHolds(t *testing.T) {
	t.Parallel()
	later := start.Add(time.Hour)
	list := revocation.Begin(start).WithPerson("ada", later, later).WithPerson("ada", start.Add(time.Minute), later)
	if !list.Ended("ada", "one", later) {
		t.Error("an earlier sign-out took back a later one")
	}
}

func TestForgetsWhatHasEnded(t *testing.T) {
	t.Parallel()
	list := revocation.Begin(start).WithSession("one", start.Add(session.Most), start).WithPerson("ada", start, start)
	over := start.Add(session.Most + revocation.Skew)
	if got := list.WithSession("two", over.Add(session.Most), over).Len(); got != 3 {
		t.Errorf("%d: clocks may differ by a minute", got)
	}
	over = over.Add(2 * time.Millisecond)
	if got := list.WithSession("two", over.Add(session.Most), over).Len(); got != 1 {
		t.Errorf("%d: what has ended on its own is kept", got)
	}
	if list.Len() != 2 {
		t.Error("the earlier list has changed")
	}
}

// What does not fit ends everything, and the longest list is short enough to be kept and read.
func TestTooMany(t *testing.T) {
	t.Parallel()
	now := start.Add(time.Hour)
	var people []string
	for n := range revocation.Most - 10 {
		people = append(people, fmt.Sprintf(`"%042dA":%d`, n, now.UnixMilli())) // the last character has bits that are not used
	}
	list, err := revocation.Parse(fmt.Sprintf(`{"version":1,"allBefore":%d,"people":{%s}}`, start.UnixMilli(), strings.Join(people, ",")), now)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		list = list.WithSession(fmt.Sprint("session-", n), now.Add(session.Most), now)
	}
	written, err := list.Text()
	if err != nil || list.Len() != revocation.Most || len(written) > 320_000 {
		t.Fatalf("%v: %d entries of %d bytes", err, list.Len(), len(written))
	}
	list = read(t, list, now)
	full := list.WithPerson("one-more", now, now)
	if full.Len() != 0 {
		t.Fatalf("%d", full.Len())
	}
	for _, id := range []string{"session-0", "session-7", "never-ended"} {
		if !full.Ended("somebody", id, now) {
			t.Errorf("%s is good again", id)
		}
	}
	if full.Ended("somebody", "new", now.Add(time.Millisecond)) {
		t.Error("who signs in after that is refused")
	}
	// A clock that is behind takes nothing back.
	if behind := list.WithPerson("x", now, start.Add(-time.Minute)); !behind.Ended("y", "z", start) {
		t.Error("what was ended at the start is good again")
	}
}

func TestRefusesWhatNoConsoleWrites(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("A", 43)
	many := make([]string, 0, revocation.Most+1)
	for n := range revocation.Most + 1 {
		many = append(many, fmt.Sprintf(`"%042dA":1795780800000`, n)) // the last character has bits that are not used
	}
	for written, says := range map[string]string{
		``:     "not as the console writes it",
		`null`: "version is 0",
		`[]`:   "not as the console writes it",
		`{}`:   "version is 0",
		`{"version":2,"allBefore":1795780800000}`: "version is 2",
		`{"version":1}`:                                                                                         "allBefore is missing",
		`{"version":1,"allBefore":-1}`:                                                                          "allBefore is missing",
		`{"version":1,"allBefore":9223372036854775807}`:                                                         "allBefore is in the future",
		`{"version":1,"allBefore":1795780800000,"more":1}`:                                                      "unknown field",
		`{"version":1,"allBefore":1795780800000} {}`:                                                            "goes on after its end",
		`{"version":1,"allBefore":1795780800000,"sessions":{"short":1}}`:                                        "43 characters",
		`{"version":1,"allBefore":1,"people":{"` + hash + `":9e18}}`:                                            "not as the console writes it",
		`{"version":1,"allBefore":1,"people":{"` + hash + `":0}}`:                                               "in the future or none",
		`{"version":1,"allBefore":1,"people":{"` + hash + `":1895780800000}}`:                                   "in the future or none",
		`{"version":1,"allBefore":1,"sessions":{"` + hash + `":1895780800000}}`:                                 "later than one can",
		`{"version":1,"allBefore":1,"sessions":{"` + strings.Repeat("!", 43) + `":1}}`:                          "base64url",
		`{"version":1,"allBefore":1,"sessions":{` + strings.Join(many, ",") + `}}`:                              "at most 5000",
		`{"version":1,"allBefore":1795780800000,"sessions":{` + strings.Repeat(" ", revocation.MostText) + `}}`: "at most 524288",
		strings.Repeat(`{"sessions":`, 20_000):                                                                  "not as the console writes it",
	} {
		if got, err := revocation.Parse(written, start); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.80s: %v, %v", written, got, err)
		}
	}
}

// What is ended, in any order, stays so as long as it could be good, through any number of writers, and is ended by nothing else.
func TestNothingIsGoodAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type one struct {
			name, id string
			since    time.Time
		}
		now, list := start, revocation.Begin(start)
		var all []one
		ended := map[one]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"sign in": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "seconds")) * time.Second)
				all = append(all, one{rapid.SampledFrom([]string{"ada", "bob", "cy"}).Draw(t, "name"), fmt.Sprint(len(all)), now})
			},
			"sign out": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip()
				}
				of := rapid.SampledFrom(all).Draw(t, "session")
				list, ended[of] = list.WithSession(of.id, of.since.Add(session.Most), now), true
			},
			"sign out everywhere": func(t *rapid.T) {
				name := rapid.SampledFrom([]string{"ada", "bob"}).Draw(t, "name")
				list = list.WithPerson(name, now, now)
				for _, of := range all {
					ended[of] = ended[of] || of.name == name
				}
			},
			"": func(t *rapid.T) {
				list = read(t, list, now)
				for _, of := range all {
					if got := list.Ended(of.name, of.id, of.since); now.Sub(of.since) < session.Most && got != ended[of] {
						t.Fatalf("%+v: ended %v, is %v", of, ended[of], got)
					}
				}
			},
		})
	})
}
