package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// interval is between lines where there is no terminal.
	interval = 10 * time.Second
	// known is how much of the work has to be done until the rest can be estimated from it.
	known = 0.05
)

// progress shows what is done and what is left: on a terminal in one line that is replaced, elsewhere in a line every ten
// seconds.
type progress struct {
	out      io.Writer
	name     string
	terminal bool
	now      func() time.Time
	start    time.Time

	mu      sync.Mutex
	shown   time.Time
	fetched int
	// begun are the packages whose compilation has begun. All but the last few are compiled.
	begun map[string]bool
	first time.Time
	// expected has the packages that were to be compiled when they were counted, and how much work they are. Until then it
	// is nil.
	expected map[string]int64
}

func newProgress(out io.Writer, name string, now func() time.Time) *progress {
	p := &progress{out: out, name: name, now: now, start: now(), begun: map[string]bool{}}
	p.shown = p.start
	if file, ok := out.(*os.File); ok {
		info, err := file.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// fetch notes that a module is being downloaded.
func (p *progress) fetch(module string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetched++
	p.show(fmt.Sprintf("%d modules fetched, in %s; now %s", p.fetched, p.since(p.start), module))
}

// compile notes that the compilation of a package begins.
func (p *progress) compile(pkg string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.begun) == 0 {
		p.first = p.now()
	}
	p.begun[pkg] = true
	p.show(p.compiled() + "; now " + pkg)
}

// expect notes which packages are to be compiled, and how much work each is, in any unit. A package that is compiled
// already is none.
func (p *progress) expect(work map[string]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = work
}

// compiled says how many packages are compiled, and how many are left.
func (p *progress) compiled() string {
	done := len(p.begun) - 1 // but the one that has just begun
	if p.expected == nil {
		return fmt.Sprintf("%d packages compiled, in %s", done, p.since(p.start))
	}
	total := len(p.begun)
	var spent, all int64
	for pkg, work := range p.expected {
		all += work
		switch {
		case p.begun[pkg]:
			spent += work
		case work > 0:
			total++
		}
	}
	text := fmt.Sprintf("%d of %d packages compiled, in %s", done, total, p.since(p.start))
	if share := float64(spent) / float64(all); share >= known {
		left := time.Duration(float64(p.now().Sub(p.first)) * (1 - share) / share)
		text += fmt.Sprintf(", about %s left", rounded(left))
	}
	return text
}

// show shows a line, unless one was shown a moment ago and nobody watches.
func (p *progress) show(text string) {
	if p.terminal { // which cuts off what is longer than a line
		_, _ = fmt.Fprintf(p.out, "\r\033[K\033[?7l%s: %s\033[?7h", p.name, text)
		return
	}
	if now := p.now(); now.Sub(p.shown) >= interval {
		_, _ = fmt.Fprintf(p.out, "%s: %s\n", p.name, text)
		p.shown = now
	}
}

// clear makes room for another line.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		_, _ = fmt.Fprint(p.out, "\r\033[K")
	}
}

// finish says what was done, if anybody had to wait for it.
func (p *progress) finish() {
	p.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Sub(p.start) >= interval {
		_, _ = fmt.Fprintf(p.out, "%s: built; %d packages were compiled, in %s\n", p.name, len(p.begun), p.since(p.start))
	}
}

func (p *progress) since(start time.Time) string {
	elapsed := p.now().Sub(start).Truncate(time.Second)
	return fmt.Sprintf("%dm%02ds", elapsed/time.Minute, elapsed%time.Minute/time.Second)
}

// rounded is a duration as people say it who do not know it exactly.
func rounded(d time.Duration) string {
	if d >= time.Minute {
		return fmt.Sprintf("%d min", (d+time.Minute/2)/time.Minute)
	}
	return fmt.Sprintf("%d s", (d+10*time.Second)/(10*time.Second)*10)
}
