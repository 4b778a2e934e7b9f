package authorizer

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestExposedKeysAreCounted: keys in places that leak are counted by place, allowed or not, and others are not; the log has no
// place for what was there.
func TestExposedKeysAreCounted(t *testing.T) {
	var logs bytes.Buffer
	digest := keyformat.DigestOf("some key")
	g := New(one{digest}, time.Now, slog.New(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		prometheus.NewRegistry())
	integration := g.Integration("test")
	for _, c := range []struct {
		location decision.Location
		digest   keyformat.Digest
		want     decision.Code
	}{
		{decision.InHeader, digest, decision.Allowed},
		{decision.InQuery, digest, decision.KeyLocationDenied},
		{decision.InQuery, keyformat.Digest{}, decision.KeyUnknown},
		{decision.InWebSocketProtocol, digest, decision.KeyLocationDenied},
	} {
		request := &Request{Request: decision.Request{Credential: decision.Credential{Form: decision.WellFormed, Digest: c.digest},
			Location: c.location, Method: "GET", Host: "cdn.acme.com", Path: "/secret-in-the-path", RawQuery: "secret-in-the-query"}}
		if d := integration.Decide(t.Context(), request); d.Code != c.want || d.Location != c.location {
			t.Errorf("%v: %v in %v", c.location, d.Code, d.Location)
		}
	}
	for location, want := range map[string]float64{"query": 2, "websocket_protocol": 1} {
		if got := testutil.ToFloat64(g.exposed.WithLabelValues("test", location)); got != want {
			t.Errorf("%s is counted %v times", location, got)
		}
	}
	if n := testutil.CollectAndCount(g.exposed); n != 2 {
		t.Errorf("there are %d series", n)
	}
	if strings.Contains(logs.String(), "secret-in") {
		t.Errorf("logged: %s", &logs)
	}
}
