package main

import (
	"bytes"
	"encoding/json"
	stdlog "log"
	"log/slog"
	"strings"
	"testing"
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
