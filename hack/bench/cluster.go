package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// measureCluster runs the benchmarks of test/e2e that are in the table, with a real API server. The scale simulation takes
// a quarter of an hour, and runs once.
func (b *bench) measureCluster(ctx context.Context) error {
	progress("the manager, on a real Kubernetes API")
	if err := b.measureManager(ctx, "BenchmarkMint", b.runs); err != nil {
		return err
	}
	return b.measureManager(ctx, "BenchmarkScale", 1)
}

// measureManager runs a benchmark a number of times, and adds the figures that it reports.
func (b *bench) measureManager(ctx context.Context, benchmark string, runs int) error {
	var out bytes.Buffer
	run := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+benchmark+"$", "-benchtime", "1x", "-count",
		strconv.Itoa(runs), "-timeout", "1h", "./test/e2e")
	run.Stdout, run.Stderr = io.MultiWriter(&out, os.Stderr), os.Stderr
	if err := run.Run(); err != nil {
		return fmt.Errorf("%s: %w", run, err)
	}
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		// A name, a number of runs, and pairs of a value and its unit.
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		for pairs := fields[2:]; len(pairs) >= 2; pairs = pairs[2:] {
			value, err := strconv.ParseFloat(pairs[0], 64)
			if err != nil {
				return fmt.Errorf("%s: %w", lines.Text(), err)
			}
			b.figures.add(pairs[1], value)
		}
	}
	return nil
}
