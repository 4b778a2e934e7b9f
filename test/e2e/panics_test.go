package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// panicked is how programs, controllers and net/http report a panic, and the race detector a race.
var panicked = regexp.MustCompile(`Observed a panic|^panic: |^fatal error: |http: panic serving|DATA RACE`)

// panics returns where logs report one: what a controller does is tried again after a panic, so that a test may not notice.
func panics(logs string) []string {
	var found []string
	files, _ := filepath.Glob(filepath.Join(logs, "*.log")) // the pattern is correct
	for _, file := range files {
		err := eachLine(file, func(line string) {
			if panicked.MatchString(line) {
				found = append(found, fmt.Sprintf("%s: %.500s", file, line))
			}
		})
		if err != nil {
			found = append(found, err.Error())
		}
	}
	return found[:min(len(found), 20)]
}

func eachLine(file string, use func(string)) error {
	log, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	for reader := bufio.NewReader(log); ; {
		line, err := reader.ReadString('\n')
		use(line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func TestPanicsAreFound(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"controller": `{"msg":"Observed a panic","controller":"apikey"}`, "program": "x\npanic: boom\n\ngoroutine 1", "race": "==\nWARNING: DATA RACE\n",
		"server": `{"msg":"http: panic serving 127.0.0.1"}`, "fine": "a panic: is only written about\n", "empty": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".log"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found := panics(dir)
	if len(found) != 4 || strings.Contains(strings.Join(found, " "), "fine.log") {
		t.Errorf("%q", found)
	}
}
