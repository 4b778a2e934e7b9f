package installation_test

import (
	"fmt"
	"testing"

	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/installation"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/internal/tier"
)

// BenchmarkLook is what a look costs with 10,000 servers and 1,000 Groups, without the API server.
func BenchmarkLook(b *testing.B) {
	sessions := session.NewRegistry(clock.RealClock{}, 0)
	hub := publish.NewHub(clock.RealClock{}, sessions, publish.Options{})
	for i := range 1000 {
		hub.PutGroup(&syncv1.Group{Namespace: fmt.Sprintf("ns-%d", i%10), Name: fmt.Sprint(i)})
	}
	hub.Open()
	for i := range 10_000 {
		hub.Subscribe(publish.Subscriber{
			Instance: fmt.Sprintf("validator-%d", i), Incarnation: "one", Owner: "edge/validator", Version: "v0.1.0",
			Selection: publish.SelectGroups(fmt.Sprintf("ns-%d/%d", i%10, i%1000)),
		})
	}
	before := v1alpha1.InstallationStatus{}
	b.ResetTimer()
	for b.Loop() {
		now := clock.RealClock{}.Now()
		facts := &installation.Facts{Tiers: tier.Builtin(), Servers: installation.ServersOf(hub.Servers(), sessions.Absences(), now)}
		after := installation.StatusOf(&before, facts, now)
		installation.NeedsWrite(&before, &after)
		before = after
	}
}
