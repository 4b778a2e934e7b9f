package sender_test

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

// TestFailuresDoNotShowTheHost: at some receivers the token is in the name of the host, and what one answers is not shown either.
func TestFailuresDoNotShowTheHost(t *testing.T) {
	raw := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			connection, buffer, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = buffer.WriteString(answer)
			_ = buffer.Flush()
			_ = connection.Close()
		}
	}
	for name, test := range map[string]struct {
		host   string // in place of that of the receiver
		server string // in its certificate
		answer http.HandlerFunc
		reason sinks.Reason
		says   string
	}{
		"no such name":      {"marker-token.invalid", "", nil, sinks.ReasonConnection, "the name of the receiver cannot be resolved"},
		"another name":      {"", "marker-token.invalid", nil, sinks.ReasonTLS, "certificate"},
		"malformed status":  {"", "", raw("marker-token\r\n\r\n"), sinks.ReasonConnection, "HTTP"},
		"malformed header":  {"", "", raw("HTTP/1.1 200 OK\r\nmarker-token\r\n\r\n"), sinks.ReasonConnection, "HTTP"},
		"unknown encoding":  {"", "", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: marker-token\r\n\r\n"), sinks.ReasonConnection, "HTTP"},
		"it says no length": {"", "", raw("HTTP/1.1 200 OK\r\nContent-Length: marker-token\r\n\r\n"), sinks.ReasonConnection, "HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			r.answer = test.answer
			secrets := write(t, "secrets", exampleSecret)
			to := newSender(t, r.sink(t, config.Webhook, func(s *config.Sink) {
				s.SecretFile, s.ServerName = secrets, test.server
				if test.host != "" {
					_, port, _ := net.SplitHostPort(s.URL.Host)
					s.URL = &url.URL{Scheme: "https", Host: net.JoinHostPort(test.host, port), Path: "/hook"}
				}
			}))
			_, err := to.Send(t.Context(), []sinks.Record{example})
			if reason := reasonOf(t, err); reason != test.reason {
				t.Errorf("%s: %v", reason, err)
			}
			if text := err.Error(); strings.Contains(text, "marker") || !strings.Contains(text, test.says) {
				t.Error(text)
			}
		})
	}
}
