package plugin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// What -o takes, besides json and yaml, which most verbs take.
const (
	outputTable = "table" // as without -o
	outputCSV   = "csv"
	outputFocus = "focus"
	outputOCSF  = "ocsf"
)

// outputsOf returns what -o takes for a verb.
func outputsOf(cmd *cobra.Command) []string {
	switch strings.TrimPrefix(cmd.CommandPath(), cmd.Root().CommandPath()+" ") {
	case "usage":
		return []string{"json", "yaml", outputWide, outputTable, outputCSV}
	case "billing export":
		return []string{outputCSV, outputFocus}
	case verbAudit: // it prints events, which have forms of their own
		return []string{outputTable, "json", outputOCSF}
	}
	return []string{"json", "yaml"}
}

// checkOutput refuses what the verb cannot write.
func (a *app) checkOutput(cmd *cobra.Command) error {
	known := outputsOf(cmd)
	switch {
	case a.output == "" || slices.Contains(known, a.output):
	case len(known) == 2:
		return errors.New("-o: write " + strings.Join(known, " or "))
	default:
		return fmt.Errorf("-o: write one of %s", strings.Join(known, ", "))
	}
	if a.output == outputTable {
		a.output = ""
	}
	return nil
}
