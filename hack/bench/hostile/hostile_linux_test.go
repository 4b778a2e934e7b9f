package hostile

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/store"
)

// Budgets of one decision. They are wide because of the race detector and slow machines; a decision that they are meant to
// find exceeds them by orders of magnitude. make bench-hostile measures what a decision costs.
const (
	maxCPU   = 30 * time.Millisecond
	maxBytes = 1 << 20
)

// known returns a validation server's store with n Groups.
func known(t testing.TB, n int, group func(i int) *syncv1.Group) *store.Store {
	t.Helper()
	s, err := store.Open(store.Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	update := &syncv1.Update{CaughtUp: true}
	for i := range n {
		update.Groups = append(update.Groups, group(i))
	}
	if err := s.Apply(update); err != nil {
		t.Fatal(err)
	}
	return s
}

// asked returns requests without a key, or with a key that does not exist.
func asked(target, origin string) map[string]*decision.Request {
	path, query, _ := strings.Cut(target, "?")
	request := func(change func(*decision.Request)) *decision.Request {
		r := &decision.Request{Method: http.MethodGet, Host: strings.Repeat("a.", 100) + "n000000.example", Path: path,
			RawQuery: query, Origin: origin}
		change(r)
		return r
	}
	return map[string]*decision.Request{
		"a preflight": request(func(r *decision.Request) { r.Method, r.PreflightMethod = http.MethodOptions, http.MethodPatch }),
		"no key":      request(func(*decision.Request) {}),
		"an unknown key": request(func(r *decision.Request) {
			r.Credential = decision.Credential{Form: decision.WellFormed, Digest: keyformat.Digest{1}}
		}),
	}
}

// cost returns the processor time of a decision in this thread (the least of three attempts if it is much) and its memory.
func cost(decide func()) (time.Duration, uint64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	least, bytes := time.Duration(1<<62), uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := threadCPU()
		decide()
		took := threadCPU() - begin
		runtime.ReadMemStats(&after)
		least, bytes = min(least, took), after.TotalAlloc-before.TotalAlloc
		if least <= maxCPU || least > 10*maxCPU {
			break // it is good enough, or never will be
		}
	}
	return least, bytes
}

// threadCPU returns how long this thread has run, according to the scheduler.
func threadCPU() time.Duration {
	counter, err := os.ReadFile("/proc/thread-self/schedstat")
	if err != nil {
		panic(err)
	}
	ran, _, _ := strings.Cut(string(counter), " ")
	nanoseconds, err := strconv.ParseInt(ran, 10, 64)
	if err != nil {
		panic(err)
	}
	return time.Duration(nanoseconds)
}

// TestEveryDecisionHasABudget decides on all targets with all kinds of Groups, as many as are searched.
func TestEveryDecisionHasABudget(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			const few = 4 // first, so that the test ends soon if the budget is exceeded
			for _, groups := range []int{few, Many} {
				s := known(t, groups, kind.Group)
				worst, of := time.Duration(0), ""
				for name, target := range Targets() {
					for _, origin := range Origins() {
						for what, request := range asked(target, origin) {
							took, bytes := cost(func() { decision.Decide(s, request, time.Now()) })
							if took > worst {
								worst, of = took, fmt.Sprintf("%s, %s, from %.20s", what, name, origin)
							}
							if took > maxCPU || bytes > maxBytes {
								t.Fatalf("%d Groups, %s, %s, from %.20s: %v and %d bytes", groups, what, name, origin, took, bytes)
							}
						}
					}
				}
				t.Log(groups, "Groups, worst:", worst, "of", of)
			}
		})
	}
}

// TestGeneratedGroupsHaveABudget generates patterns and paths of few letters, so that they have much in common.
func TestGeneratedGroupsHaveABudget(t *testing.T) {
	const groups = 16
	pieces := rapid.SampledFrom([]string{"*", "a", "b", "aa", "/", "/*", "a*", "*b", "ab"})
	text := func(most int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			unit := "/" + strings.Join(rapid.SliceOfN(pieces, 1, 8).Draw(t, "unit"), "")
			unit = strings.ReplaceAll(strings.ReplaceAll(strings.Trim(unit, "/"), "//", "/"), "**", "*")
			if unit == "" {
				unit = "a"
			}
			return "/" + strings.Repeat(unit, max(1, most/len(unit)-1))
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern := text(maxPattern).Draw(t, "pattern")
		for strings.Contains(pattern, "**") {
			pattern = strings.ReplaceAll(pattern, "**", "*")
		}
		pattern += rapid.SampledFrom([]string{"", "b", "a", "/b"}).Draw(t, "end")
		kind := Kind{Name: "generated", capable: rapid.Bool().Draw(t, "capable"), routes: ofPaths(repeat(pattern, room/(len(pattern)+1)))}
		path := strings.ReplaceAll(text(pathRoom-64).Draw(t, "path"), "*", "")
		s, err := store.Open(store.Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		update := &syncv1.Update{CaughtUp: true}
		for i := range groups {
			update.Groups = append(update.Groups, kind.Group(i))
		}
		if err := s.Apply(update); err != nil {
			t.Skip(err) // admission refuses it, too
		}
		for what, request := range asked(path, Origins()[0]) {
			if took, bytes := cost(func() { decision.Decide(s, request, time.Now()) }); took > maxCPU || bytes > maxBytes {
				t.Fatalf("%s: %v and %d bytes", what, took, bytes)
			}
		}
	})
}
