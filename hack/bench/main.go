// Command bench compares what Keyward costs with baselines: servers that speak the same protocol through the same library
// and do nothing else. Baselines and integrations take turns, so that both are measured on the same machine at the same
// time. See docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"time"

	"github.com/keyward-dev/keyward/hack/bench/baseline"
	"github.com/keyward-dev/keyward/hack/bench/fixture"
	"github.com/keyward-dev/keyward/hack/bench/hostile"
)

// config says how to measure.
type config struct {
	validator string
	runs      int
	duration  time.Duration
	used      int
	only      *regexp.Regexp
	cluster   bool
	out       string
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "baseline" {
		upstream := ""
		if len(os.Args) > 3 {
			upstream = os.Args[3]
		}
		fail(baseline.Serve(os.Args[2], upstream, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) == 6 && os.Args[1] == "attack" {
		clients, _ := strconv.Atoi(os.Args[4])
		rate, _ := strconv.Atoi(os.Args[5])
		fail(hostile.Attack(ctx, os.Args[2], os.Args[3], clients, rate, os.Stdout))
	}
	measure, arguments := run, os.Args[1:]
	if len(arguments) > 0 && arguments[0] == "hostile" {
		measure, arguments = runHostile, arguments[1:]
	}
	var c config
	only := ""
	flag.StringVar(&c.validator, "validator", "bin/keyward-validator", "the `program` to measure")
	flag.IntVar(&c.runs, "runs", 5, "how `often` everything is measured; the medians are printed")
	flag.DurationVar(&c.duration, "duration", 2*time.Second, "how `long` each load lasts")
	flag.IntVar(&c.used, "used", fixture.Sampled, "how many keys requests are made with, of those that a validation server has")
	flag.StringVar(&only, "only", "", "measure only the integrations and baselines, or with hostile the kinds of "+
		"Groups, that this `expression` matches")
	flag.BoolVar(&c.cluster, "cluster", true, "measure the manager, too, on a real Kubernetes API")
	flag.StringVar(&c.out, "json", "", "write all figures to this `file`, too")
	fail(flag.CommandLine.Parse(arguments))
	c.only = regexp.MustCompile(only)
	fail(measure(ctx, c))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
