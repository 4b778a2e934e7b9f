package controllers

import (
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keyward-dev/keyward/controllers/grouplog"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/sinks"
)

// addLogs adds what writes the logs of Groups, and what sends them to others; it returns both. The latter is nil if they are not sent.
func addLogs(mgr ctrl.Manager, sessions *session.Registry, counted *counting, options Options) (*grouplog.Writer, *sinks.Runner, error) {
	writer := &grouplog.Writer{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Cache: mgr.GetCache(), Heads: counted.objects, Servers: sessions, Origins: counted.traffic, Tiers: options.Tiers,
		Clock: clock.RealClock{}, Namespaces: options.WatchNamespaces,
	}
	counted.objects.Wrote = writer.ObserveUsage
	if err := mgr.Add(writer); err != nil {
		return nil, nil, fmt.Errorf("adding the logs of Groups: %w", err)
	}
	runner, err := addSinks(mgr, &grouplog.Source{Writer: writer}, options.Sinks, options.Namespace)
	return writer, runner, err
}
