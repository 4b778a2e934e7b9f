package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/hack/bench/baseline"
	"github.com/keyward-dev/keyward/hack/bench/fixture"
	"github.com/keyward-dev/keyward/hack/bench/load"
	"github.com/keyward-dev/keyward/hack/bench/process"
)

// Names of figures of a validation server that records its decisions, and of the baseline with the same requests.
const (
	loggedFull   = "decision log, a browser's 20 headers"
	loggedBare   = "decision log, a bare request"
	baselineFull = grpcBaseline + ", a browser's 20 headers"
	baselineBare = grpcBaseline + ", a bare request"
)

// addDecisionLog adds a validation server that records its decisions, with the flags and keys of another one.
func (b *bench) addDecisionLog(keys *fixture.Keys, flags []string) error {
	const tokenBytes = 32
	token := filepath.Join(b.dir, "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("t", tokenBytes)), 0o600); err != nil {
		return err
	}
	full, err := fixture.FullChecks(keys.Known)
	if err != nil {
		return err
	}
	bare, err := fixture.BareChecks(keys.Known)
	if err != nil {
		return err
	}
	v, _, err := process.StartValidator(b.validator, slices.Concat(flags, []string{"--admin-token-file=" + token,
		"--snapshot-dir=" + filepath.Join(b.dir, "snapshot-with-log")})...)
	if err != nil {
		return err
	}
	b.running = append(b.running, v)
	p, address, err := b.startBaseline(baseline.GRPC)
	if err != nil {
		return err
	}
	add := func(name string, p *process.Process, load func(context.Context, time.Duration) (load.Result, error)) {
		b.targets = append(b.targets, &target{name: name, process: p, load: load})
	}
	add(loggedFull, v.Process, overGRPC(v.GRPC.String(), full, allowed))
	add(loggedBare, v.Process, overGRPC(v.GRPC.String(), bare, allowed))
	add(baselineFull, p, overGRPC(address, full, anyCode))
	add(baselineBare, p, overGRPC(address, bare, anyCode))
	return nil
}
