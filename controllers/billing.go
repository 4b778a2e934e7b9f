package controllers

import (
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/keyward-dev/keyward/controllers/billing"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/usage/store"
)

// addBilling adds what sends usage to billing engines, and has the GroupUsages stay until it is, or lets go of what that had held.
// It returns nil if usage is not sent.
func addBilling(mgr ctrl.Manager, usage *store.Objects, options Options) (*sinks.Runner, error) {
	cluster := &billing.Cluster{Reader: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespaces: options.WatchNamespaces}
	log := ctrl.Log.WithName("billing")
	if options.Billing == nil || len(options.Billing.Sinks) == 0 {
		return nil, add(mgr, &billing.Release{Cluster: cluster, Clock: clock.RealClock{}, Log: log, RetryInterval: options.BillingLookInterval})
	}
	runner := &sinks.Runner{Clock: clock.RealClock{}, Log: log, Unmeasured: true}
	senders := sendersOf(mgr, options.Namespace)
	var names []string
	for _, s := range options.Billing.Sinks {
		to, err := senders.New(s)
		if err != nil {
			return nil, fmt.Errorf("--billing-file: %w", err)
		}
		runner.Sinks = append(runner.Sinks, sinks.Sink{Sink: s, Sender: to})
		names = append(names, s.Name)
	}
	keeper := billing.New(
		&billing.Objects{Reader: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespace: options.Namespace}, cluster, names, clock.RealClock{}, log)
	keeper.LookInterval = options.BillingLookInterval
	runner.Source, runner.Store, usage.Billed = keeper, keeper, keeper.Begin
	if err := add(mgr, keeper); err != nil {
		return nil, err
	}
	return runner, add(mgr, runner)
}

func add(mgr ctrl.Manager, runnable manager.Runnable) error {
	if err := mgr.Add(runnable); err != nil {
		return fmt.Errorf("adding what is for billing: %w", err)
	}
	return nil
}
