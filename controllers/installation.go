package controllers

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/installation"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/internal/version"
)

// addInstallation adds what writes how Keyward is. events and usage send to sinks; nil for none.
func addInstallation(mgr ctrl.Manager, sessions *session.Registry, hub *publish.Hub, events, usage *sinks.Runner, options Options) error {
	leader, _, _ := strings.Cut(options.Identity, "_") // from the name of the Pod and its UID
	var since time.Time                                // only the writer asks, while it leads
	facts := func(now time.Time) *installation.Facts {
		if since.IsZero() {
			since = now
		}
		all := &installation.Facts{
			Version: version.Get().Version, Leader: leader, Tiers: options.Tiers, Servers: installation.ServersOf(hub.Servers(), sessions.Absences(), now),
			LeadsSince: since, ForgetServersAfter: options.ForgetServersAfter,
		}
		all.Sinks = append(sinksOf(events, v1alpha1.SinkEvents), sinksOf(usage, v1alpha1.SinkUsage)...)
		return all
	}
	err := mgr.Add(&installation.Writer{
		Reader: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespace: options.Namespace, Clock: clock.RealClock{}, Facts: facts,
		Opened: hub.Opened(),
	})
	if err != nil {
		return fmt.Errorf("adding the Installation: %w", err)
	}
	return nil
}

// sinksOf returns how the sinks of a runner are; none for nil.
func sinksOf(runner *sinks.Runner, sends v1alpha1.SinkContent) (all []installation.Sink) {
	if runner == nil {
		return nil
	}
	for _, state := range runner.States() {
		all = append(all, installation.Sink{State: state, Sends: sends})
	}
	return all
}
