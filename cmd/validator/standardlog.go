package main

import (
	"context"
	stdlog "log"
	"log/slog"
	"strings"
)

// standardLog is the output of the standard logger, to which the transport of net/http writes, because it has no other: above all the
// bytes that an upstream sends without being asked.
type standardLog struct{ log *slog.Logger }

// redirectStandardLog makes the standard logger write into log.
func redirectStandardLog(log *slog.Logger) {
	stdlog.SetFlags(0)
	stdlog.SetPrefix("")
	stdlog.SetOutput(standardLog{log})
}

// Write implements io.Writer. It logs what is in front of the first quote: what a peer has sent is behind it, and may have paths,
// queries and keys.
func (s standardLog) Write(line []byte) (int, error) {
	const most = 200
	text, _, _ := strings.Cut(string(line[:min(len(line), most)]), `"`)
	s.log.LogAttrs(context.Background(), slog.LevelWarn, "a library reports", slog.String("report", strings.TrimSpace(text)))
	return len(line), nil
}
