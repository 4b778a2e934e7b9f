package options

import (
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	pagePath   = "../../docs/reference/validator-flags.md"
	tableBegin = "<!-- what follows is written by: go test ./server/options -run TestFlagsAreDocumented -update -->\n"
	tableEnd   = "<!-- end of what is written by the test -->\n"
)

var update = flag.Bool("update", false, "write the flags into docs/reference/validator-flags.md")

// TestFlagsAreDocumented holds the table in docs/reference/validator-flags.md to the usage. With -update it writes the table.
func TestFlagsAreDocumented(t *testing.T) {
	var usage strings.Builder
	if _, err := Parse([]string{"--help"}, "the host's name", &usage); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	described := regexp.MustCompile(`(?m)^  -(\S+).*\n    \t(.*)$`).FindAllStringSubmatch(usage.String(), -1)
	if lines := strings.Count(usage.String(), "\n"); lines != 1+2*len(described) {
		t.Fatalf("%d flags in %d lines of usage", len(described), lines)
	}
	byDefault := regexp.MustCompile(` \(default (.+)\)$`)
	table := "| flag | default | |\n|---|---|---|\n"
	for _, flag := range described {
		value := ""
		if found := byDefault.FindStringSubmatch(flag[2]); found != nil {
			value = strings.Trim(found[1], `"`)
		}
		table += "| `--" + flag[1] + "` | " + value + " | " + byDefault.ReplaceAllString(flag[2], "") + " |\n"
	}

	page, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), tableBegin)
	written, after, ends := strings.Cut(rest, tableEnd)
	switch {
	case !begins || !ends:
		t.Fatalf("%s has no place for the flags", pagePath)
	case *update:
		if err := os.WriteFile(pagePath, []byte(before+tableBegin+table+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
	case written != table:
		t.Errorf("%s is stale; see the comment there. It says\n%s\nand the flags are\n%s", pagePath, written, table)
	}
}
