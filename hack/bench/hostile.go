package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/hack/bench/baseline"
	"github.com/keyward-dev/keyward/hack/bench/fixture"
	"github.com/keyward-dev/keyward/hack/bench/hostile"
	"github.com/keyward-dev/keyward/hack/bench/process"
)

const (
	worstPreflight   = "worst preflight"
	worstKeyless     = "worst keyless denial"
	p99Alone         = "p99 alone"
	p99Ordinary      = "p99 beside ordinary clients"
	p99Hostile       = "p99 beside hostile clients"
	p99Paced         = "p99 beside paced hostile clients"
	p99PacedOrdinary = "p99 beside paced ordinary clients"
	p99Heads         = "p99 beside unfinished heads"
	perHead          = "memory of an unfinished head"
	junkDenial       = "denial of a junk token"
	nobodysDenial    = "denial of a well-formed token"
	goodAnswer       = "good request"
	junkMemory       = "memory after junk tokens"
	longRequest      = "longest request"

	hostileClients = 32
	paced          = 10 // requests a second
	heads          = 1000
	junkTokens     = 50_000
)

// hostileTable is what docs/security.md promises.
var hostileTable = []row{
	{what: "worst preflight against 512 hostile Groups, CPU", of: worstPreflight, goal: 2, unit: " ms"},
	{what: "worst keyless denial against 512 hostile Groups, CPU", of: worstKeyless, goal: 2, unit: " ms"},
	{what: "a good client's p99 beside 32 hostile ones that ask as fast as they are answered : alone",
		of: p99Hostile, baseline: p99Alone, goal: 2},
	{what: "the same : beside 32 who send the same from an origin that nobody allows, which is refused without a search",
		of: p99Hostile, baseline: p99Ordinary, goal: 2},
	{what: "a good client's p99 beside 32 hostile ones that ask 10 times a second each : alone", of: p99Paced,
		baseline: p99Alone, goal: 2},
	{what: "the same : beside 32 who send the same from an origin that nobody allows, as often", of: p99Paced,
		baseline: p99PacedOrdinary, goal: 2},
	{what: "a good client's p99 beside 1,000 connections with unfinished heads of 60 KB : alone", of: p99Heads, baseline: p99Alone, goal: 2},
	{what: "memory of such a connection", of: perHead, goal: 128, unit: " KiB", format: "%.0f"},
	{what: "denial of a junk token : a good request, CPU", of: junkDenial, baseline: goodAnswer, goal: 1.5},
	{what: "denial of a well-formed token that nobody has : a good request, CPU", of: nobodysDenial, baseline: goodAnswer, goal: 1.5},
	{what: "memory that 50,000 junk tokens leave", of: junkMemory, goal: 16, unit: " MiB", format: "%.1f"},
	{what: "denial of the longest path, query and headers, CPU", of: longRequest, goal: 2, unit: " ms"},
}

// siege is a validation server that knows hostile Groups.
type siege struct {
	*process.Validator

	known   *hostile.Known
	clients int // that have sent a request
}

// besiege starts one. Failed attempts are not throttled, so that the full cost of each is measured.
func (b *bench) besiege(kind hostile.Kind, upstream string) (*siege, error) {
	known, err := hostile.NewKnown(kind)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "siege")
	if err != nil {
		return nil, err
	}
	manager, err := fixture.StartManager(known, dir)
	if err != nil {
		return nil, err
	}
	v, _, err := process.StartValidator(b.validator,
		"--sync-address="+manager.Address, "--sync-server-name="+fixture.ServerName, "--sync-ca-file="+manager.CAFile,
		"--sync-token-file="+manager.TokenFile,
		"--max-failures-per-minute=0", "--read-header-timeout=5m", "--upstream=http://"+upstream)
	if err != nil {
		return nil, err
	}
	b.running = append(b.running, v)
	return &siege{Validator: v, known: known}, nil
}

// runHostile measures what hostile tenants and strangers can cost.
func runHostile(ctx context.Context, c config) (err error) {
	b := &bench{config: c, figures: figures{}}
	if b.dir, err = os.MkdirTemp("", "keyward-bench"); err != nil {
		return err
	}
	defer func() {
		for _, p := range b.running {
			p.Kill()
		}
		err = errors.Join(err, os.RemoveAll(b.dir))
	}()
	_, upstream, err := b.startBaseline(baseline.Upstream)
	if err != nil {
		return err
	}
	worst, request, err := b.findWorst(ctx, upstream)
	if err != nil {
		return err
	}
	s, err := b.besiege(worst, upstream)
	if err != nil {
		return err
	}
	for n := range b.runs {
		progress("run %d of %d", n+1, b.runs)
		if err := b.measureSiege(ctx, s, request); err != nil {
			return err
		}
	}
	return b.figures.report(hostileTable, os.Stdout, c.out)
}

// findWorst measures all kinds, and returns the one with the most expensive request.
func (b *bench) findWorst(ctx context.Context, upstream string) (worst hostile.Kind, request []byte, err error) {
	most, keyless, preflight := time.Duration(0), time.Duration(0), time.Duration(0)
	for _, kind := range hostile.Kinds() {
		if !b.only.MatchString(kind.Name) {
			continue
		}
		s, err := b.besiege(kind, upstream)
		if err != nil {
			return worst, nil, fmt.Errorf("%s: %w", kind.Name, err)
		}
		mostExpensive, of := time.Duration(0), ""
		for name, target := range hostile.Targets() {
			for _, origin := range hostile.Origins() {
				for what, raw := range map[string][]byte{"preflight": hostile.Preflight(target, origin), "keyless": hostile.Keyless(target, origin)} {
					cost, err := s.cost(ctx, func(int) ([]byte, error) { return raw, nil })
					if err != nil {
						return worst, nil, fmt.Errorf("%s, %s, %s: %w", kind.Name, what, name, err)
					}
					if what == "preflight" {
						preflight = max(preflight, cost)
					} else {
						keyless = max(keyless, cost)
					}
					if cost > mostExpensive {
						mostExpensive, of = cost, what+", "+name
					}
					if cost > most {
						most, worst, request = cost, kind, raw
					}
				}
			}
		}
		progress("%-34s %8.3f ms CPU at worst: %s", kind.Name, millis(mostExpensive), of)
		s.Kill()
	}
	b.figures.add(worstPreflight, millis(preflight))
	b.figures.add(worstKeyless, millis(keyless))
	return worst, request, nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cost is the processor time of a request, the least of a few attempts: other work of the server, such as collecting the
// garbage of its start, is not caused by a client. If there is no response, it is the time that was used until then.
func (s *siege) cost(ctx context.Context, raw func(i int) ([]byte, error)) (time.Duration, error) {
	const (
		times = 5
		// All clients together may use a tenth of a processor for searches.
		recovery        = 40 * time.Millisecond
		skippedSearches = "keyward_validator_skipped_searches_total"
	)
	least := time.Duration(math.MaxInt64)
	skippedBefore, err := s.Metric(skippedSearches)
	if err != nil {
		return 0, err
	}
	for n := range times {
		s.clients++
		client := hostile.NewClientFrom(s.Proxy.String(), s.clients) // with a budget of its own
		cost, answered, err := s.costOnce(ctx, client, raw, n)
		client.Close()
		if err != nil {
			return 0, err
		}
		time.Sleep(recovery)
		if least = min(least, cost); !answered {
			break
		}
	}
	if skipped, err := s.Metric(skippedSearches); err != nil || skipped > skippedBefore {
		return 0, errors.Join(err, fmt.Errorf("%v requests were answered without a search", skipped-skippedBefore))
	}
	return least, nil
}

// costOnce sends some requests in a row.
func (s *siege) costOnce(ctx context.Context, client *hostile.Client, raw func(i int) ([]byte, error),
	n int) (each time.Duration, answered bool, err error) {
	const (
		most   = 10
		enough = 100 * time.Millisecond
	)
	before, err := s.CPU()
	if err != nil {
		return 0, false, err
	}
	begin, asked := time.Now(), 0
	answered = true
	for answered && asked < most && (asked == 0 || time.Since(begin) < enough) {
		request, err := raw(n*most + asked)
		if err != nil {
			return 0, false, err
		}
		if _, err := client.Ask(ctx, request); err != nil {
			if ctx.Err() != nil || !os.IsTimeout(err) {
				return 0, false, err
			}
			answered = false
		}
		asked++
	}
	after, err := s.CPU()
	return (after - before) / time.Duration(asked), answered, err
}

// measureSiege measures the same good client alone and beside others, in turns.
func (b *bench) measureSiege(ctx context.Context, s *siege, worst []byte) error {
	var alone, ordinary, attacked, pacedOrdinary, pacedHostile []time.Duration
	ordinaryRequest := hostile.FromElsewhere(worst)
	const turns = 4
	for range turns {
		for _, turn := range []struct {
			samples *[]time.Duration
			request []byte
			rate    int
		}{
			{&alone, nil, 0}, {&ordinary, ordinaryRequest, 0}, {&attacked, worst, 0},
			{&pacedOrdinary, ordinaryRequest, paced}, {&pacedHostile, worst, paced},
		} {
			if err := b.beside(s, turn.request, turn.rate, func() error { return s.sample(ctx, b.duration/turns, turn.samples) }); err != nil {
				return err
			}
		}
	}
	b.figures.add(p99Alone, millis(p99(alone)))
	b.figures.add(p99Ordinary, millis(p99(ordinary)))
	b.figures.add(p99Hostile, millis(p99(attacked)))
	b.figures.add(p99PacedOrdinary, millis(p99(pacedOrdinary)))
	b.figures.add(p99Paced, millis(p99(pacedHostile)))
	progress("p99 alone %.2f ms, beside 32 ordinary %.2f, hostile %.2f, paced ordinary %.2f, paced hostile %.2f",
		millis(p99(alone)), millis(p99(ordinary)), millis(p99(attacked)), millis(p99(pacedOrdinary)), millis(p99(pacedHostile)))
	if err := b.measureTokens(ctx, s); err != nil {
		return err
	}
	return b.measureHeads(ctx, s)
}

// sample adds how long a good client waits that sends a request every two milliseconds.
func (s *siege) sample(ctx context.Context, duration time.Duration, samples *[]time.Duration) error {
	client, request := hostile.NewClient(s.Proxy.String()), s.known.GoodRequest()
	defer client.Close()
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for begin := time.Now(); time.Since(begin) < duration; <-pause.C {
		asked := time.Now()
		status, err := client.Ask(ctx, request)
		if err != nil {
			return err
		}
		if status != 200 {
			return fmt.Errorf("a good request was answered %d", status)
		}
		*samples = append(*samples, time.Since(asked))
	}
	return nil
}

func p99(samples []time.Duration) time.Duration {
	slices.Sort(samples)
	return samples[len(samples)*99/100]
}

// beside runs do while hostile clients send requests. They are a separate process with the lowest priority, because real
// ones would have their own machines.
func (b *bench) beside(s *siege, request []byte, rate int, do func() error) error {
	if request == nil {
		return do()
	}
	file := filepath.Join(b.dir, "request")
	if err := os.WriteFile(file, request, 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	clients, err := process.Start("nice", "-n", "19", self, "attack", s.Proxy.String(), file, fmt.Sprint(hostileClients), fmt.Sprint(rate))
	if err != nil {
		return err
	}
	defer clients.Kill()
	if _, err := clients.Line(func(string) bool { return true }); err != nil {
		return err
	}
	return do()
}

// measureTokens measures tokens that are not keys, and the longest request.
func (b *bench) measureTokens(ctx context.Context, s *siege) error {
	source := rand.NewChaCha8([32]byte{2})
	junk := func(wellFormed bool) func(int) ([]byte, error) {
		return func(int) ([]byte, error) { return hostile.Junk(wellFormed, "https://elsewhere.example", source) }
	}
	long := hostile.Keyless("/"+strings.Repeat("a", 8000)+"?"+strings.Repeat("b=&", 2600), hostile.Origins()[0])
	long = append(long[:len(long)-2], []byte(strings.Repeat("X-Other: "+strings.Repeat("x", 90)+"\r\n", 400)+"\r\n")...)
	for figure, raw := range map[string]func(int) ([]byte, error){
		goodAnswer: func(int) ([]byte, error) { return s.known.GoodRequest(), nil },
		junkDenial: junk(false), nobodysDenial: junk(true),
		longRequest: func(int) ([]byte, error) { return long, nil },
	} {
		cost, err := s.cost(ctx, raw)
		if err != nil {
			return fmt.Errorf("%s: %w", figure, err)
		}
		b.figures.add(figure, millis(cost))
	}
	before, _, err := s.Memory()
	if err != nil {
		return err
	}
	client := hostile.NewClient(s.Proxy.String())
	defer client.Close()
	for i := range junkTokens {
		raw, err := hostile.Junk(i%2 == 0, "https://elsewhere.example", source)
		if err != nil {
			return err
		}
		if _, err := client.Ask(ctx, raw); err != nil {
			return err
		}
	}
	after, _, err := s.Memory()
	b.figures.add(junkMemory, float64(after-before)/mb)
	return err
}

// measureHeads measures with many clients that begin a request and do not finish it.
func (b *bench) measureHeads(ctx context.Context, s *siege) error {
	before, _, err := s.Memory()
	if err != nil {
		return err
	}
	unfinished, err := hostile.OpenHeads(ctx, s.Proxy.String(), heads)
	if err != nil {
		return errors.Join(err, unfinished.Close())
	}
	defer func() { _ = unfinished.Close() }()
	var samples []time.Duration
	if err := s.sample(ctx, b.duration, &samples); err != nil {
		return err
	}
	after, _, err := s.Memory()
	b.figures.add(p99Heads, millis(p99(samples)))
	b.figures.add(perHead, float64(after-before)/heads/1024)
	return err
}
