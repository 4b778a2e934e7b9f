package plugin

import (
	"io"
	"os"
	"strings"
)

// The levels of a sparkline, from nothing to the most, on a terminal that shows UTF-8 and elsewhere.
const (
	blockLevels = "▁▂▃▄▅▆▇█"
	plainLevels = "_.:-=+*#"
)

// sparkline shows numbers as one character each. Only 0 has the lowest level, and only the largest number has the highest.
func sparkline(numbers []int64, blocks bool) string {
	levels := []rune(plainLevels)
	if blocks {
		levels = []rune(blockLevels)
	}
	most := int64(0)
	for _, n := range numbers {
		most = max(most, n)
	}
	var line strings.Builder
	for _, n := range numbers {
		level := 0
		switch between := len(levels) - 2; {
		case n <= 0:
		case n == most:
			level = len(levels) - 1
		default:
			level = 1 + min(between-1, int(float64(n)/float64(most)*float64(between)))
		}
		line.WriteRune(levels[level])
	}
	return line.String()
}

// showsBlocks reports whether an output is a terminal that shows UTF-8, by the locale.
func showsBlocks(out io.Writer) bool {
	locale := ""
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = os.Getenv(name)
		}
	}
	locale = strings.ToLower(strings.ReplaceAll(locale, "-", ""))
	return isTerminal(out) && strings.Contains(locale, "utf8")
}
