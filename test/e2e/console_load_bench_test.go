package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/role"
)

// How large BenchmarkConsole is; see docs/performance.md.
var (
	consolePeople = fromEnvironment("KEYWARD_BENCH_PEOPLE", 200)
	consoleKeys   = fromEnvironment("KEYWARD_BENCH_CONSOLE_KEYS", 5_000)
	consoleThink  = time.Duration(fromEnvironment("KEYWARD_BENCH_THINK_SECONDS", 20)) * time.Second
	consoleLoad   = time.Duration(fromEnvironment("KEYWARD_BENCH_LOAD_SECONDS", 120)) * time.Second
)

// consoleAlone is how often each kind of page is loaded while nobody else loads one.
const consoleAlone = 40

// BenchmarkConsole has people use one console, which has one processor, on a real API server: each has signed in, holds the stream of a key's page, and
// goes from page to page. Most are in a Group with many keys, one in eight in a small one of the same namespace, whose keys have to be found among those. Once a
// second a key changes whose page somebody holds, who loads it again as its script does.
//
// Beside pages, the same requests are sent directly to the API server with the same tokens, in the same seconds. Processor time of a page is measured while
// nobody else loads one, and all streams are open.
func BenchmarkConsole(b *testing.B) {
	w := newWorld(b)
	if err := goBuild(w.ctx, "-o", bin("e2e", "keyward-console"), "./cmd/console"); err != nil {
		b.Fatal(err)
	}
	m := w.lead(managerSetup{startupGrace: quick, level: "info"})
	w.createGroup()
	small := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "small"}}
	small.Spec.Projects = []v1alpha1.Project{{Name: "marketing"}}
	w.create(small)
	w.mint("seed")
	for i := range 5 {
		w.mint(fmt.Sprintf("small-%d", i), func(key *v1alpha1.ApiKey) { key.Spec.GroupRef.Name = small.Name })
	}
	m.stop(patience)
	names := w.seed("seed", consoleKeys)
	w.joinAll(role.Admin)
	c := w.startConsole(b, "GOMAXPROCS=1", "GOMEMLIMIT=98MiB") // the limit as it is deployed
	l := &consoleRun{world: w, console: c, took: map[string][]time.Duration{}, alone: map[string][]time.Duration{}, direct: map[string][]time.Duration{}}
	for i := range consolePeople {
		v := w.visit(c, i)
		v.group = place.Group{Namespace: w.namespace, Name: "acme"}
		name := names[i*len(names)/consolePeople]
		if i%8 == 7 {
			v.group.Name, name = small.Name, fmt.Sprintf("small-%d", i%5)
		}
		v.key = place.Key{Group: v.group, Namespace: w.namespace, Name: name}
		l.people = append(l.people, v)
	}
	before := machine()
	l.run()
	l.report(b, before)
}

// consoleRun is one run of BenchmarkConsole.
type consoleRun struct {
	*world

	console *console
	people  []*visitor

	mu sync.Mutex
	// took is how long pages took, by kind, and direct the same requests without the console; alone is processor time of the console.
	took, direct, alone map[string][]time.Duration
	changed             []time.Duration // from a change of a key until the stream had it
	problems            []error
	loaded              int // pages

	perPage, idle time.Duration // processor time per page under load, everything included, and per second without pages
	fewest        int           // streams, of all seconds
	now, most     float64       // bytes of resident memory
}

func (l *consoleRun) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems = append(l.problems, err)
}

// run has everybody sign in, and then load pages for a while.
func (l *consoleRun) run() {
	l.t.Helper()
	streaming, stopStreams := context.WithCancel(l.ctx)
	defer stopStreams()
	var running, clicking sync.WaitGroup
	changes := make([]atomic.Int64, len(l.people)) // when its key was changed, in Unix nanoseconds; 0: it was not
	spread := make(chan struct{}, 4)               // so many sign in at a time
	clicks, stopClicks := context.WithCancel(l.ctx)
	defer stopClicks()
	var signedIn sync.WaitGroup
	begin := make(chan struct{})
	for i, v := range l.people {
		signedIn.Add(1)
		clicking.Go(func() {
			spread <- struct{}{}
			err := v.signIn(l.ctx)
			<-spread
			signedIn.Done()
			if err != nil {
				l.fail(fmt.Errorf("sign-in: %w", err))
				return
			}
			running.Go(func() {
				if err := v.follow(streaming, func(string) { l.see(v, &changes[i]) }); err != nil {
					l.fail(err)
				}
			})
			<-begin
			l.click(clicks, v, i)
		})
	}
	signedIn.Wait()
	if len(l.problems) > 0 {
		l.t.Fatalf("%d people cannot sign in, such as: %v", len(l.problems), l.problems[0])
	}
	eventually(l.t, "all streams", patience, func() error {
		if n := l.streams(); n < len(l.people)*9/10 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	l.fewest = len(l.people)
	spent := l.processor()
	time.Sleep(10 * time.Second) // nobody is to load anything
	l.idle = (l.processor() - spent) / 10
	l.measureAlone()

	spent = l.processor()
	close(begin)
	until := time.Now().Add(consoleLoad)
	for second := 0; time.Now().Before(until); second++ {
		l.change(second%len(l.people), changes)
		l.fewest = min(l.fewest, l.streams())
		time.Sleep(time.Second) // the load is what is measured
	}
	stopClicks()
	clicking.Wait()
	l.perPage = (l.processor() - spent) / time.Duration(max(l.loaded, 1))
	l.now, l.most = l.memoryOf("VmRSS"), l.memoryOf("VmHWM")
	stopStreams()
	running.Wait()
}

// change changes the key of a person, as a manager does that records when it was used.
func (l *consoleRun) change(who int, changes []atomic.Int64) {
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: l.people[who].key.Name}}
	patch := fmt.Appendf(nil, `{"status":{"lastUsedAt":%q}}`, time.Now().UTC().Add(time.Duration(who)*time.Second).Format(time.RFC3339))
	if l.people[who].group.Name == "small" {
		return // several people hold its page
	}
	changes[who].Store(time.Now().UnixNano())
	if err := l.admin.Status().Patch(l.ctx, key, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		l.fail(err)
	}
}

// see is what the script of a page does with an event: it loads the page again if the key was changed.
func (l *consoleRun) see(v *visitor, changed *atomic.Int64) {
	at := changed.Swap(0)
	if at == 0 {
		return
	}
	l.mu.Lock()
	l.changed = append(l.changed, time.Since(time.Unix(0, at)))
	l.mu.Unlock()
	l.load(l.ctx, v, "a key", func(context.Context) (string, error) { return v.open(l.ctx, v.key.Of()) })
}

// load measures a page.
func (l *consoleRun) load(ctx context.Context, v *visitor, kind string, open func(context.Context) (string, error)) string {
	begin := time.Now()
	text, err := open(ctx)
	took := time.Since(begin)
	if ctx.Err() != nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded++
	if err != nil {
		l.problems = append(l.problems, fmt.Errorf("%s of %s: %w", kind, v.group.Name, err))
	}
	l.took[kind] = append(l.took[kind], took)
	return text
}

// The kinds of pages.
var consoleKinds = []string{"Groups", "keys", "keys, page 2", "search, found early", "search, found in nothing", "a key"}

// page loads a page of a kind. Who is in the small Group has no second page, and finds less.
func (l *consoleRun) page(v *visitor, kind string) func(context.Context) (string, error) {
	at := func(path string) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) { return v.open(ctx, path) }
	}
	switch kind {
	case "Groups":
		return at(place.Groups)
	case "keys", "keys of a small Group":
		return at(v.group.Of())
	case "search, found early":
		return at(v.group.Of() + "?search=d-00001")
	case "search, found in nothing":
		return at(v.group.Of() + "?search=no-such-key")
	}
	return at(v.key.Of())
}

// step is the next page that a person loads: its kind, and how. Before is the page that they are at.
func (l *consoleRun) step(v *visitor, n int, before string) (kind string, open func(context.Context) (string, error)) {
	kind = consoleKinds[n%len(consoleKinds)]
	next, err := found(nextPage, before)
	switch {
	case kind == "keys, page 2" && (err != nil || v.group.Name == "small"):
		return "a key", l.page(v, "a key")
	case kind == "keys, page 2":
		return kind, func(ctx context.Context) (string, error) { return v.open(ctx, next) }
	case kind == "keys" && v.group.Name == "small":
		return "keys of a small Group", l.page(v, kind)
	}
	return kind, l.page(v, kind)
}

// click goes from page to page until ctx ends, and from time to time sends the requests of the page without the console.
func (l *consoleRun) click(ctx context.Context, v *visitor, number int) {
	text := ""
	for n := number; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration((0.5 + rand.Float64()) * float64(consoleThink))):
		}
		kind, open := l.step(v, n, text)
		text = l.load(ctx, v, kind, open)
		if rand.IntN(4) > 0 || ctx.Err() != nil {
			continue
		}
		begin := time.Now()
		err := l.straight(ctx, v, kind)
		took := time.Since(begin)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.fail(fmt.Errorf("without the console: %w", err))
		}
		l.mu.Lock()
		l.direct[kind] = append(l.direct[kind], took)
		l.mu.Unlock()
	}
}

// straight sends the requests of a page to the API server, one after the other but for what the console asks at once.
func (l *consoleRun) straight(ctx context.Context, v *visitor, kind string) error {
	list := v.direct.keys
	switch kind {
	case "Groups":
		return v.direct.list(ctx, "groups", 1)
	case "a key":
		if err := v.direct.object(ctx, "groups", v.group.Name); err != nil {
			return err
		}
		if err := v.direct.object(ctx, "apikeys", v.key.Name); err != nil {
			return err
		}
		return v.direct.ask(ctx)
	case "search, found early", "search, found in nothing":
		list = v.direct.names
	}
	if err := v.direct.object(ctx, "groups", v.group.Name); err != nil {
		return err
	}
	if err := list(ctx, v.group.Name); err != nil {
		return err
	}
	return v.direct.ask(ctx)
}

// measureAlone measures the processor time of pages, one after the other, less what the streams take meanwhile.
func (l *consoleRun) measureAlone() {
	for i := range consoleAlone {
		text := ""
		for n := range len(consoleKinds) + 1 {
			v := l.people[i%min(len(l.people), 7)]
			if n == len(consoleKinds) { // the keys of a small Group
				if len(l.people) < 8 {
					continue
				}
				v, n = l.people[7], 1
			}
			kind, open := l.step(v, n, text)
			begin, at := l.processor(), time.Now()
			var err error
			if text, err = open(l.ctx); err != nil {
				l.fail(fmt.Errorf("%s: %w", kind, err))
			}
			spent := l.processor() - begin - time.Duration(float64(l.idle)*time.Since(at).Seconds())
			l.alone[kind] = append(l.alone[kind], max(spent, 0))
		}
	}
}

var openStreams = regexp.MustCompile(`(?m)^keyward_console_streams ([0-9.e+]+)$`)

// streams is how many are open.
func (l *consoleRun) streams() int {
	_, body, err := get("http://" + l.console.metrics + "/metrics")
	if err != nil {
		l.fail(err)
	}
	n := 0.0
	if parts := openStreams.FindStringSubmatch(body); parts != nil {
		n, _ = strconv.ParseFloat(parts[1], 64) // the expression admits nothing else
	}
	return int(n)
}

// processor is what the console's threads have used so far, by the counters of the scheduler.
func (l *consoleRun) processor() (sum time.Duration) {
	counters, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", l.console.cmd.Process.Pid)) // the pattern is good
	for _, path := range counters {
		counter, err := os.ReadFile(path)
		if err != nil {
			continue // Go ends few threads, and only idle ones
		}
		ran, _, _ := strings.Cut(string(counter), " ")
		n, _ := strconv.ParseInt(ran, 10, 64) // the kernel writes nothing else
		sum += time.Duration(n)
	}
	return sum
}

// memoryOf is resident memory now (VmRSS) or at its most (VmHWM), in bytes.
func (l *consoleRun) memoryOf(what string) float64 {
	l.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.console.cmd.Process.Pid))
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, what+": %f kB", &kib); err == nil {
			return kib * 1024
		}
	}
	l.t.Fatalf("the console has no %s", what)
	return 0
}

// report prints a table, and the figures.
func (l *consoleRun) report(b *testing.B, before string) {
	b.Helper()
	if len(l.problems) > 0 {
		b.Errorf("%d errors, such as: %v", len(l.problems), l.problems[0])
	}
	fmt.Printf("\n%d people, %d keys, a page each %s, for %s; %s\n\n", len(l.people), consoleKeys, consoleThink, consoleLoad, before)
	fmt.Printf("| page | loaded | p50 | p95 | p99 | without the console, p50 | p95 | processor time alone, p50 | p95 |\n|---|---|---|---|---|---|---|---|---|\n")
	var took, direct, alone []time.Duration
	line := func(kind string, took, direct, alone []time.Duration) {
		cells := []string{kind, strconv.Itoa(len(took))}
		for _, of := range []struct {
			samples []time.Duration
			parts   []float64
		}{{took, []float64{.5, .95, .99}}, {direct, []float64{.5, .95}}, {alone, []float64{.5, .95}}} {
			for _, part := range of.parts {
				if len(of.samples) == 0 {
					cells = append(cells, "–")
					continue
				}
				cells = append(cells, millis(quantile(of.samples, part)))
			}
		}
		fmt.Println("| " + strings.Join(cells, " | ") + " |")
	}
	for _, kind := range append(consoleKinds[:len(consoleKinds):len(consoleKinds)], "keys of a small Group") {
		line(kind, l.took[kind], l.direct[kind], l.alone[kind])
		took, direct, alone = append(took, l.took[kind]...), append(direct, l.direct[kind]...), append(alone, l.alone[kind]...)
	}
	line("all", took, direct, alone)
	if len(took) == 0 || len(direct) == 0 || len(alone) == 0 || len(l.changed) == 0 {
		b.Fatal("too little was measured: raise KEYWARD_BENCH_LOAD_SECONDS")
	}
	fmt.Printf("\n%d changes reached their page after %s (p50), %s (p95)\n\n", len(l.changed), millis(quantile(l.changed, .5)), millis(quantile(l.changed, .95)))
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(quantile(took, .5)), "page-p50-ms")
	b.ReportMetric(ms(quantile(took, .95)), "page-p95-ms")
	b.ReportMetric(ms(quantile(took, .99)), "page-p99-ms")
	b.ReportMetric(ratio(took, direct, .5), "page-p50-of-direct")
	b.ReportMetric(ratio(took, direct, .95), "page-p95-of-direct")
	b.ReportMetric(ms(quantile(alone, .95)), "page-CPU-p95-ms")
	b.ReportMetric(ms(l.perPage), "CPU-ms/page")
	b.ReportMetric(ms(l.idle), "idle-CPU-ms/s")
	b.ReportMetric(l.now/1e6, "console-MB")
	b.ReportMetric(l.most/1e6, "console-peak-MB")
	b.ReportMetric(float64(l.fewest), "streams-least")
	b.ReportMetric(float64(len(l.problems)), "errors")
	b.ReportMetric(0, "ns/op")
}
