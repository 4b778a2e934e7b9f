package gate

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyward-dev/keyward/api/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

// one is a snapshot of one key, whose digest is its own.
type one struct{ digest keyformat.Digest }

func (one) Health(time.Time) decision.Health { return decision.Synced }

func (s one) Find(digest keyformat.Digest) (decision.Match, bool) {
	return decision.Match{
		Key:   &decision.Key{ID: "k1", Scope: &decision.Scope{Projects: []string{"default"}, Permissions: []string{"read"}}},
		Group: &decision.Group{Identity: "tenants/acme", State: decision.Active, Projects: []decision.Project{{Name: "default", OwnsAll: true, Origins: decision.Origins{AllowMissing: true}}}},
	}, digest == s.digest
}

func TestADecisionIsCountedAndLogged(t *testing.T) {
	var logs bytes.Buffer
	registry := prometheus.NewRegistry()
	digest := keyformat.DigestOf("some key")
	g := New(one{digest}, time.Now, slog.New(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})), registry)
	door := g.Door("test")
	request := &decision.Request{
		Credential: decision.Credential{Form: decision.WellFormed, Digest: digest}, Method: "GET", Host: "cdn.acme.com",
		Path: "/secret-in-the-path", RawQuery: "token=secret-in-the-query", Referer: "https://acme.com/?secret-in-the-referer",
	}
	request.Referer = ""
	if d := door.Decide(t.Context(), request); !d.Allowed() {
		t.Fatalf("got %v", d.Code)
	}
	request.Credential.Digest = keyformat.Digest{}
	request.Referer = "https://acme.com/?secret-in-the-referer"
	if d := door.Decide(t.Context(), request); d.Code != decision.KeyUnknown {
		t.Fatalf("got %v", d.Code)
	}
	for code, want := range map[string]float64{"allowed": 1, "key_unknown": 1, "key_revoked": 0} {
		if got := testutil.ToFloat64(g.decisions.WithLabelValues("test", code)); got != want {
			t.Errorf("%s is counted %v times", code, got)
		}
	}
	if n := testutil.CollectAndCount(g.decisions); n != len(decision.Codes()) {
		t.Errorf("%d series of one door", n)
	}
	text := logs.String()
	for _, want := range []string{`"code":"allowed"`, `"project":"default"`, `"group":"tenants/acme"`, `"key":"k1"`, `"code":"key_unknown"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "secret-in") {
		t.Errorf("logged: %s", text)
	}
}
