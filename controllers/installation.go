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
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/version"
)

// addBillingAndInstallation adds what sends usage, and then what says how that is, with all else. sent is what sends the logs of Groups; nil
// if nothing does.
func addBillingAndInstallation(mgr ctrl.Manager, sessions *session.Registry, hub *publish.Hub, usage *store.Objects, sent *sinks.Runner,
	options Options,
) error {
	billed, err := addBilling(mgr, usage, options)
	if err != nil {
		return err
	}
	return addInstallation(mgr, sessions, hub, sent, billed, options)
}

// addInstallation adds what writes how Keyward is. events and usage send to sinks; nil for none.
func addInstallation(mgr ctrl.Manager, sessions *session.Registry, hub *publish.Hub, events, usage *sinks.Runner, options Options) error {
	leader, _, _ := strings.Cut(options.Identity, "_") // from the name of the Pod and its UID
	var since time.Time                                // only the writer asks, while it leads
	facts := func(now time.Time) *installation.Facts {
		if since.IsZero() {
			since = now
		}
		_, absent := sessions.Servers()
		all := &installation.Facts{
			Version: version.Get().Version, Leader: leader, Tiers: options.Tiers, Servers: installation.ServersOf(hub.Servers(), absent, now),
			LeadsSince: since, ForgetServersAfter: options.ForgetServersAfter,
		}
		for runner, sends := range map[*sinks.Runner]v1alpha1.SinkContent{events: v1alpha1.SinkEvents, usage: v1alpha1.SinkUsage} {
			if runner == nil {
				continue
			}
			for _, state := range runner.States() {
				all.Sinks = append(all.Sinks, installation.Sink{State: state, Sends: sends})
			}
		}
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
