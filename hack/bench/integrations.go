package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/keyward-dev/keyward/hack/bench/baseline"
	"github.com/keyward-dev/keyward/hack/bench/fixture"
	"github.com/keyward-dev/keyward/hack/bench/load"
	"github.com/keyward-dev/keyward/hack/bench/process"
)

// target is a server under a load.
type target struct {
	name    string
	process *process.Process
	load    func(context.Context, time.Duration) (load.Result, error)
}

// fleets are the numbers of keys with which everything is measured.
var fleets = []int{0, 1, few, many}

const (
	few  = 10_000
	many = 1_000_000
)

// fleet is a validation server with a number of keys.
type fleet struct {
	*process.Validator

	keys    int
	flags   []string
	manager *fixture.Manager
}

// bench has everything that runs while the integrations are measured.
type bench struct {
	config

	dir     string
	fleets  []*fleet
	targets []*target
	running []interface{ Kill() }
	figures figures
}

func run(ctx context.Context, c config) (err error) {
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
	for _, count := range fleets {
		if err := b.startFleet(count); err != nil {
			return fmt.Errorf("%d keys: %w", count, err)
		}
	}
	if err := b.measureMemory(); err != nil {
		return err
	}
	if err := b.measureIntegrations(ctx); err != nil {
		return err
	}
	if err := b.measureLoaded(); err != nil {
		return err
	}
	if err := b.measureStart(); err != nil {
		return err
	}
	if c.cluster {
		if err := b.measureCluster(ctx); err != nil {
			return err
		}
	}
	return b.figures.report(table, os.Stdout, c.out)
}

// startBaseline runs this program as a baseline server.
func (b *bench) startBaseline(arguments ...string) (*process.Process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	p, err := process.Start(self, append([]string{"baseline"}, arguments...)...)
	if err != nil {
		return nil, "", err
	}
	b.running = append(b.running, p)
	address, err := p.Line(func(string) bool { return true })
	return p, address, err
}

// startFleet runs a validation server that has a number of keys, and adds what is measured with it.
func (b *bench) startFleet(count int) error {
	progress("%d keys", count)
	dir := filepath.Join(b.dir, fmt.Sprint(count))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	keys := fixture.New(count, b.used)
	manager, err := fixture.StartManager(keys, dir)
	if err != nil {
		return err
	}
	flags := []string{
		"--sync-address=" + manager.Address, "--sync-server-name=" + fixture.ServerName, "--sync-ca-file=" + manager.CAFile,
		"--sync-token-file=" + manager.TokenFile,
		"--max-failures-per-minute=0", "--snapshot-dir=" + filepath.Join(dir, "snapshot"),
	}
	_, upstream, err := b.startBaseline(baseline.Upstream)
	if err != nil {
		return err
	}
	flags = append(flags, "--upstream=http://"+upstream)
	v, _, err := process.StartValidator(b.validator, flags...)
	if err != nil {
		return err
	}
	b.running = append(b.running, v)
	b.fleets = append(b.fleets, &fleet{v, count, flags, manager})
	if count == 0 {
		return nil
	}
	if count == few {
		if err := b.addDecisionLog(keys, flags); err != nil {
			return err
		}
	}
	return b.addTargets(v, keys, upstream)
}

// addTargets adds the integrations that are measured with a number of keys.
func (b *bench) addTargets(v *process.Validator, keys *fixture.Keys, upstream string) error {
	known, err := fixture.Checks(keys.Known)
	if err != nil {
		return err
	}
	unknown, err := fixture.Checks(keys.Unknown)
	if err != nil {
		return err
	}
	add := func(name string, load func(context.Context, time.Duration) (load.Result, error)) {
		b.targets = append(b.targets, &target{name: name, process: v.Process, load: load})
	}
	if keys.Count == few {
		if err := b.startBaselines(upstream, known, fixture.Subrequests(keys.Known), fixture.Requests(keys.Known)); err != nil {
			return err
		}
		add(forwardAuth, overHTTP(v.HTTP.String(), fixture.Subrequests(keys.Known)))
		add(reverseProxy, overHTTP(v.Proxy.String(), fixture.Requests(keys.Known)))
	}
	add(hit(keys.Count), overGRPC(v.GRPC.String(), known, allowed))
	add(miss(keys.Count), overGRPC(v.GRPC.String(), unknown, denied))
	return nil
}

func (b *bench) startBaselines(upstream string, checks, subrequests, requests [][]byte) error {
	for _, f := range []struct {
		name, figure string
		load         func(address string) func(context.Context, time.Duration) (load.Result, error)
	}{
		{baseline.GRPC, grpcBaseline, func(address string) func(context.Context, time.Duration) (load.Result, error) {
			return overGRPC(address, checks, anyCode)
		}},
		{baseline.HTTP, httpBaseline, func(address string) func(context.Context, time.Duration) (load.Result, error) {
			return overHTTP(address, subrequests)
		}},
		{baseline.Proxy, proxyBaseline, func(address string) func(context.Context, time.Duration) (load.Result, error) {
			return overHTTP(address, requests)
		}},
		{baseline.Pooled, pooledBaseline, func(address string) func(context.Context, time.Duration) (load.Result, error) {
			return overHTTP(address, requests)
		}},
	} {
		p, address, err := b.startBaseline(f.name, upstream)
		if err != nil {
			return err
		}
		b.targets = append(b.targets, &target{name: f.figure, process: p, load: f.load(address)})
	}
	return nil
}

func overGRPC(address string, checks [][]byte, right func([]byte) error) func(context.Context, time.Duration) (load.Result, error) {
	return func(ctx context.Context, duration time.Duration) (load.Result, error) {
		return load.GRPC(ctx, address, checks, right, duration)
	}
}

func overHTTP(address string, requests [][]byte) func(context.Context, time.Duration) (load.Result, error) {
	return func(ctx context.Context, duration time.Duration) (load.Result, error) {
		return load.HTTP(ctx, address, requests, duration)
	}
}

// anyCode accepts any response.
func anyCode([]byte) error { return nil }

// allowed and denied look for the code in the encoded response: to parse each response would cost the client more than the
// server.
func allowed(encoded []byte) error { return hasCode(encoded, "allowed") }

func denied(encoded []byte) error { return hasCode(encoded, "key_unknown") }

func hasCode(encoded []byte, code string) error {
	if bytes.Contains(encoded, []byte(code)) {
		return nil
	}
	response := &authv3.CheckResponse{}
	if err := proto.Unmarshal(encoded, response); err != nil {
		return err
	}
	return fmt.Errorf("it is not %s: %v", code, response)
}

// slice is how long a target is under load before the next one. It is so short that a machine which slows down for a while
// slows all of them down.
const slice = 250 * time.Millisecond

// measureIntegrations puts all targets under load in turns.
func (b *bench) measureIntegrations(ctx context.Context) error {
	targets := slices.DeleteFunc(slices.Clone(b.targets), func(t *target) bool { return !b.only.MatchString(t.name) })
	for _, t := range targets {
		if _, err := t.load(ctx, b.duration); err != nil { // a warm-up
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	for n := range b.runs {
		progress("run %d of %d", n+1, b.runs)
		costs := make([]cost, len(targets))
		for range max(1, b.duration/slice) {
			for i, t := range targets {
				if err := t.measure(ctx, &costs[i]); err != nil {
					return fmt.Errorf("%s: %w", t.name, err)
				}
			}
		}
		b.addCosts(targets, costs)
	}
	return nil
}

// cost is the processor time of requests.
type cost struct {
	cpu      time.Duration
	requests int64
}

func (c cost) micros() float64 { return float64(c.cpu.Nanoseconds()) / float64(c.requests) / 1e3 }

// measure adds the cost of one slice.
func (t *target) measure(ctx context.Context, to *cost) error {
	before, err := t.process.CPU()
	if err != nil {
		return err
	}
	result, err := t.load(ctx, slice)
	if err != nil {
		return err
	}
	after, err := t.process.CPU()
	to.cpu += after - before
	to.requests += result.Requests
	return err
}

func (b *bench) addCosts(targets []*target, costs []cost) {
	expensive, cheap := 0.0, math.Inf(1)
	for i, t := range targets {
		each := costs[i].micros()
		b.figures.add(t.name, each)
		progress("%-44s %6.2f µs CPU", t.name, each)
		if strings.HasPrefix(t.name, extAuthz) {
			expensive, cheap = max(expensive, each), min(cheap, each)
		}
	}
	if expensive > 0 {
		b.figures.add(flatness, expensive/cheap)
	}
}

func progress(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", arguments...)
}
