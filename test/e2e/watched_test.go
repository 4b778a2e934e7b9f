package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/test/collector"
)

// TestWatched: a real manager exports the span of a change, until the last server has acknowledged it, and the metrics of what alerts
// are about. All of them are the leader's.
func TestWatched(t *testing.T) {
	w := newWorld(t)
	received := collector.Start(t)
	m := w.lead(managerSetup{startupGrace: quick, elect: true, flags: []string{"--otlp-endpoint=" + received.HTTP},
		environment: []string{"OTEL_BSP_SCHEDULE_DELAY=10"}})
	w.subscribe("one", 0)
	w.subscribe("two", 0)
	w.createGroup()
	w.createKey("watched", func(key *v1alpha1.ApiKey) { key.Spec.ExpiresAfter = "8d" })
	w.awaitKey("watched", "ready", isReady)
	w.awaitKey("watched", "enforced on both servers", isEnforced(2))

	received.Await(t, func(span *tracepb.Span) bool {
		a := collector.Attributes(span)
		return span.GetName() == "enforce ApiKey" && a["keyward.name"] == "watched" && a["k8s.namespace.name"] == w.namespace &&
			strings.Contains(a["keyward.acknowledged"], "2") && len(span.GetEvents()) == 2 && span.GetEndTimeUnixNano() > span.GetStartTimeUnixNano()
	})
	eventually(t, "the metrics", patience, func() error {
		_, body, err := get("http://" + m.metrics + "/metrics")
		if err != nil {
			return err
		}
		for _, series := range []string{
			`keyward_apikeys{state="Active"} [1-9]`, `keyward_apikeys_cutover_pending 0`, `keyward_enforcement_missed_records 0`,
			`keyward_enforcement_pending_records 0`, `keyward_certificate_expiration_timestamp_seconds{certificate="serving"} \d`,
			`keyward_certificate_expiration_timestamp_seconds{certificate="authority"} \d`,
			`keyward_apikey_expiration_timestamp_seconds{group="` + w.namespace + `/acme",name="watched",namespace="` + w.namespace + `"} \d`,
			`leader_election_master_status{name="keyward-manager"} 1`,
			`controller_runtime_webhook_requests_total{code="200",webhook="/validate-keyward-dev-v1alpha1-apikey"} [1-9]`,
			`controller_runtime_reconcile_total{controller="apikey",result="success"} [1-9]`,
		} {
			if !regexp.MustCompile(`(?m)^` + series).MatchString(body) {
				return fmt.Errorf("there is no series %s", series)
			}
		}
		return nil
	})
}
