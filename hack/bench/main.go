// Command bench measures what Keyward costs against floors: what no server that speaks the
// same protocol through the same library can do without. Floors and doors take turns, so
// that both have the same machine. See docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"

	"github.com/keyward-dev/keyward/hack/bench/floor"
)

// config is how to measure.
type config struct {
	validator string
	runs      int
	duration  time.Duration
	only      *regexp.Regexp
	cluster   bool
	out       string
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "floor" {
		upstream := ""
		if len(os.Args) > 3 {
			upstream = os.Args[3]
		}
		fail(floor.Serve(os.Args[2], upstream, os.Stdout))
	}
	var c config
	only := ""
	flag.StringVar(&c.validator, "validator", "bin/keyward-validator", "the `program` to measure")
	flag.IntVar(&c.runs, "runs", 5, "how `often` everything is measured; the medians are told")
	flag.DurationVar(&c.duration, "duration", 2*time.Second, "how `long` each load lasts")
	flag.StringVar(&only, "only", "", "measure only the doors and floors that this `expression` matches")
	flag.BoolVar(&c.cluster, "cluster", true, "measure the manager, too, on a real Kubernetes API")
	flag.StringVar(&c.out, "json", "", "write all figures to this `file`, too")
	flag.Parse()
	c.only = regexp.MustCompile(only)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, c)
	stop()
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
