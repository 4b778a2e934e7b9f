package controllers

import (
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keyward-dev/keyward/controllers/grouplog"
	"github.com/keyward-dev/keyward/controllers/session"
)

// addLogs adds what writes the logs of Groups, which it returns, and what sends them to others.
func addLogs(mgr ctrl.Manager, sessions *session.Registry, counted *counting, options Options) (*grouplog.Writer, error) {
	writer := &grouplog.Writer{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Cache: mgr.GetCache(), Heads: counted.objects, Servers: sessions, Origins: counted.traffic, Tiers: options.Tiers,
		Clock: clock.RealClock{}, Namespaces: options.WatchNamespaces,
	}
	counted.objects.Wrote = writer.ObserveUsage
	if err := mgr.Add(writer); err != nil {
		return nil, fmt.Errorf("adding the logs of Groups: %w", err)
	}
	return writer, addSinks(mgr, &grouplog.Source{Writer: writer}, options.Sinks, options.Namespace)
}
