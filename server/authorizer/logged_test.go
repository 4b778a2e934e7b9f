package authorizer

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

func TestOnlyHostsAndMethodsAreLogged(t *testing.T) {
	key, err := keyformat.Mint("vctrl", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	integration := New(one{}, time.Now, slog.New(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		prometheus.NewRegistry()).Integration("test")
	for _, c := range []struct {
		method, host             string
		loggedMethod, loggedHost string
	}{
		{"GET", "cdn.acme.example", "GET", "cdn.acme.example"},
		{"VERSION-CONTROL", "CDN.acme.example:8443", "VERSION-CONTROL", "CDN.acme.example:8443"},
		{"GET", "[2001:db8::1]:80", "GET", "[2001:db8::1]:80"},
		{"GET", "", "GET", ""},
		{"get", "a b", unreadable, unreadable},
		{key.Reveal(), key.Reveal(), unreadable, unreadable},
		{"X-" + key.Reveal(), key.Reveal() + ".acme.example:80", unreadable, unreadable},
		{strings.Repeat("A", 21), strings.Repeat("a", 256), unreadable, unreadable},
		{"G\nT", "münchen.example", unreadable, unreadable},
	} {
		logs.Reset()
		integration.Decide(t.Context(), &Request{Request: decision.Request{Method: c.method, Host: c.host}})
		if text := logs.String(); !strings.Contains(text, `"method":"`+c.loggedMethod+`","host":"`+c.loggedHost+`"`) {
			t.Errorf("%s %s: %s", c.method, c.host, text)
		}
	}
}
