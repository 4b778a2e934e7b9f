// Command chart lints charts/keyward and packages it:
//
//	go run ./cmd/chart -version v0.1.0 -into ../../dist
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	chart "github.com/keyward-dev/keyward/test/chart"
)

func main() {
	dir := flag.String("chart", "../../charts/keyward", "the chart")
	into := flag.String("into", ".", "where to put the package")
	version := flag.String("version", "", "version of the build, such as v0.1.0: also the default tag of images")
	flag.Parse()
	if err := run(*dir, *into, *version); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(dir, into, version string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w; set it to the time of the commit, so that the same commit makes the same package", err)
	}
	path, err := chart.Package(dir, into, version, time.Unix(seconds, 0).UTC())
	if err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}
