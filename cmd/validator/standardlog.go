package main

import (
	"context"
	stdlog "log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// reportsPerWindow is how many lines of the standard logger are logged in a reportWindow: who reaches a port can cause one with each
	// connection, such as by TLS handshakes that fail.
	reportsPerWindow = 10
	reportWindow     = time.Second
)

// standardLog is the output of the standard logger, to which net/http writes, because it has no other: above all the
// bytes that an upstream sends without being asked, errors of connections, and panics. It is safe for concurrent use.
//
// mu guards the fields below it.
type standardLog struct {
	log *slog.Logger

	mu      sync.Mutex
	began   time.Time // when the window began
	logged  int       // lines in the window
	omitted int       // lines that were left out in the window; a timer logs how many
}

// redirectStandardLog makes the standard logger write into log.
func redirectStandardLog(log *slog.Logger) {
	stdlog.SetFlags(0)
	stdlog.SetPrefix("")
	stdlog.SetOutput(&standardLog{log: log})
}

// Write implements io.Writer. It logs what is in front of the first quote: what a peer has sent is behind it, and may have paths,
// queries and keys. Beyond so many lines in a window, it only counts them.
func (s *standardLog) Write(line []byte) (int, error) {
	const most = 200
	if !s.takes() {
		return len(line), nil
	}
	text, _, _ := strings.Cut(string(line[:min(len(line), most)]), `"`)
	s.log.LogAttrs(context.Background(), slog.LevelWarn, "a library reports", slog.String("report", strings.TrimSpace(text)))
	return len(line), nil
}

// takes reports whether a line is logged now. The first one of a window that is not has the number logged at the end of the window.
func (s *standardLog) takes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.omitted == 0 && now.Sub(s.began) >= reportWindow {
		s.began, s.logged = now, 0
	}
	if s.omitted == 0 && s.logged < reportsPerWindow {
		s.logged++
		return true
	}
	if s.omitted++; s.omitted == 1 {
		time.AfterFunc(s.began.Add(reportWindow).Sub(now), s.logOmitted)
	}
	return false
}

func (s *standardLog) logOmitted() {
	s.mu.Lock()
	omitted := s.omitted
	s.omitted, s.began = 0, time.Time{}
	s.mu.Unlock()
	s.log.LogAttrs(context.Background(), slog.LevelWarn, "a library reports more than is logged", slog.Int("omitted", omitted))
}
