package controllers

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/controllers/usage/totals"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
	"github.com/keyward-dev/keyward/controllers/usageapi"
)

// readAgain is when GroupUsages are listed again that could not be listed.
const readAgain = 10 * time.Second

// counting is what counts the use of Groups.
type counting struct {
	quotas  *quota.Aggregator
	totals  *totals.Board
	traffic *traffic.Pending
	objects *store.Objects
	keys    *quota.KeyBoard
	hours   usageapi.Hours // nil where the store keeps none
}

// addUsage adds what counts the use of Groups, and leases quotas.
func addUsage(ctx context.Context, mgr ctrl.Manager, sessions *session.Registry, options Options) (*counting, error) {
	board := totals.New(clock.RealClock{}, func(ctx context.Context, name types.NamespacedName) *v1alpha1.Group {
		group, err := cache.Group(ctx, mgr.GetClient(), name, client.UnsafeDisableDeepCopy)
		if err != nil {
			return nil // the cache is closing
		}
		return group
	}, quota.Crossed)
	pending := traffic.New(clock.RealClock{})
	objects := &store.Objects{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Groups: mgr.GetClient(), Clock: clock.RealClock{}, Traffic: pending,
		Recorder: eventRecorder(ctx, mgr),
	}
	pending.Record = objects.RecordTraffic
	kept, writes, hours := store.Store(objects), rate.Limit(store.ObjectWrites), usageapi.Hours(nil)
	runnables := []manager.Runnable{
		&quota.GroupMetrics{Reader: mgr.GetCache(), Clock: clock.RealClock{}, Groups: options.MetricsGroups, Totals: board},
		board, pending, showKnown(objects, board, options.WatchNamespaces),
	}
	keys, collector := quota.NewKeyBoard(clock.RealClock{}), store.Collect(objects, options.WatchNamespaces)
	if options.UsageStore != "" {
		redis, err := store.OpenRedis(options.UsageStore, "keyward:", clock.RealClock{})
		if err != nil {
			return nil, fmt.Errorf("--usage-store: %w", err)
		}
		published := store.Publish(redis, objects, store.ObjectWrites)
		kept, writes, hours = published, rate.Inf, redis
		runnables = append(runnables, published)
	}
	aggregator := quota.New(quota.Config{
		Store: &store.Notified{Store: kept, Saved: func(key store.Key, used store.Totals) {
			board.Set(ctx, key.Group, key.Period, used)
		}, SavedKey: func(key store.Key, used store.Totals) {
			keys.Set(key.Owner, key.Period, used.Requests-used.Unconfirmed)
		}},
		Sessions: sessions, Clock: clock.RealClock{}, Log: ctrl.Log.WithName("usage"), Writes: writes,
		StartupGrace: options.Sync.StartupGrace, Grace: options.Sync.Grace,
	})
	deleted := func(group types.NamespacedName, id string) {
		keys.Forget(id)
		collector.Deleted(group, id)
	}
	runnables = append(runnables, aggregator, &quota.Follower{Aggregator: aggregator, Cache: mgr.GetCache()},
		&quota.KeyFollower{Aggregator: aggregator, Cache: mgr.GetCache(), Deleted: deleted}, collector)
	for _, runnable := range runnables {
		if err := mgr.Add(runnable); err != nil {
			return nil, fmt.Errorf("adding the usage: %w", err)
		}
	}
	return &counting{quotas: aggregator, totals: board, traffic: pending, objects: objects, keys: keys, hours: hours}, nil
}

// showKnown has the status of Groups show what an earlier leader has persisted, and not shown any more. It runs once for each leader.
func showKnown(objects *store.Objects, board *totals.Board, namespaces []string) manager.RunnableFunc {
	return func(ctx context.Context) error {
		_ = wait.PollUntilContextCancel(ctx, readAgain, true, func(ctx context.Context) (bool, error) {
			err := objects.Each(ctx, namespaces, func(key store.Key, used store.Totals) {
				board.Begin(ctx, key.Group, key.Period, used)
			})
			if err != nil && ctx.Err() == nil {
				ctrl.LoggerFrom(ctx).Error(err, "The status of Groups shows earlier usage; it will be tried again")
			}
			return err == nil, nil
		})
		return nil
	}
}
