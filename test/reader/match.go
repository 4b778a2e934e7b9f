package reader

import (
	"fmt"
	"regexp"
	"strings"
)

// what differs between two runs, in this order.
var varying = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z`), "<time>"},
	{regexp.MustCompile(`\bk[a-z0-9]{16}\b`), "<key id>"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "<hash>"},
	{regexp.MustCompile(`[a-z]+_…\w{4}`), "<preview>"},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(µs|ms|s|m|h|d))+\b`), "<duration>"},
	{regexp.MustCompile(`\s+`), " "},
}

func normal(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.instead)
	}
	return strings.TrimSpace(text)
}

// Missing returns the first line of what a page shows that was not printed, in that order, and an error if there is one. Times, durations and
// what is random may differ, and so may the width of columns. Of JSON, spaces between tokens may differ.
func Missing(shown, printed string) error {
	if strings.HasPrefix(strings.TrimSpace(shown), "{") {
		squeeze := func(text string) string { return strings.Join(strings.Fields(normal(text)), "") }
		if !strings.Contains(squeeze(printed), squeeze(shown)) {
			return fmt.Errorf("the page shows\n%s", shown)
		}
		return nil
	}
	rest := strings.Split(printed, "\n")
	for line := range strings.Lines(shown) {
		want := normal(line)
		if want == "" {
			continue
		}
		found := false
		for len(rest) > 0 && !found {
			found = strings.Contains(normal(rest[0]), want)
			rest = rest[1:]
		}
		if !found {
			return fmt.Errorf("the page shows the line\n%s", line)
		}
	}
	return nil
}
