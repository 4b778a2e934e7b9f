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

// clusterBenchmarks are those of hack/e2e that are in the table: they have a real API server,
// and take minutes each.
const clusterBenchmarks = "^Benchmark(Mint|Scale)$"

// measureCluster runs the benchmarks of the manager, and takes over what they report.
func (b *bench) measureCluster(ctx context.Context) error {
	progress("the manager, on a real Kubernetes API")
	var out bytes.Buffer
	run := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", clusterBenchmarks, "-benchtime", "1x", "-timeout", "1h", "./hack/e2e")
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
