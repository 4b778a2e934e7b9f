package main

import (
	"bytes"
	"encoding/json"
	stdlog "log"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStandardLog: what net/http says of an upstream that speaks unasked is JSON, and has nothing of what it said.
func TestStandardLog(t *testing.T) {
	var out bytes.Buffer
	before, flags := stdlog.Writer(), stdlog.Flags()
	t.Cleanup(func() {
		stdlog.SetOutput(before)
		stdlog.SetFlags(flags)
	})
	stdlog.SetOutput(&out)
	redirectStandardLog(slog.New(slog.NewJSONHandler(&out, nil)))
	stdlog.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "HEAD /a/v/1?token=secret HTTP/1.1\r\n\"", nil)
	var line struct{ Level, Report string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if line.Level != "WARN" || line.Report != "Unsolicited response received on idle HTTP channel starting with" || strings.Contains(out.String(), "secret") {
		t.Error(out.String())
	}
}

// TestStandardLogIsBounded: however much clients make libraries report, there are so many lines in a second, and one that says how many
// were left out.
func TestStandardLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &standardLog{log: slog.New(slog.NewJSONHandler(&out, nil))}
		const each, seconds = 1000, 5
		reports, omitted := 0, 0
		for range each * seconds {
			if n, err := s.Write([]byte("http: TLS handshake error from 192.0.2.1:4711: EOF\n")); n == 0 || err != nil {
				t.Fatalf("%d %v", n, err)
			}
			time.Sleep(time.Second / each) // of the bubble's clock
		}
		time.Sleep(time.Second)
		synctest.Wait() // for the timer that logs how many were left out
		for line := range strings.Lines(out.String()) {
			var is struct {
				Report  string
				Omitted int
			}
			if err := json.Unmarshal([]byte(line), &is); err != nil {
				t.Fatal(err)
			}
			if omitted += is.Omitted; is.Report != "" {
				reports++
			}
		}
		if reports < reportsPerWindow || reports > reportsPerWindow*(seconds+1) || reports+omitted != each*seconds {
			t.Errorf("%d lines are logged, and %d omitted, of %d", reports, omitted, each*seconds)
		}
		out.Reset()
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := s.Write([]byte("one more\n")); err != nil || !strings.Contains(out.String(), "one more") {
			t.Errorf("afterwards: %v %s", err, out.String())
		}
	})
}
