package billing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/internal/billing/window"
)

// savesAtOnce bounds the outboxes that are written in a turn of the sinks, which is every three seconds.
const savesAtOnce = 60

var errNotLoaded = errors.New("the BillingOutboxes are not read yet")

// groupOf returns what an outbox knows of its Group.
func groupOf(o *v1alpha1.BillingOutboxSpec) *v1alpha1.Group {
	g := &v1alpha1.Group{}
	g.Namespace, g.Name, _ = strings.Cut(o.Group, "/")
	g.UID, g.Spec.Billing = o.GroupUID, o.Billing
	return g
}

// NameOf returns the name of the outbox of a Group.
func NameOf(group types.UID) string { return "group-" + string(group) }

func same(a, b *v1alpha1.BillingOutboxSpec) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// Changed implements sinks.Source.
func (b *Keeper) Changed(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, c)
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.waiting = slices.DeleteFunc(b.waiting, func(other chan struct{}) bool { return other == c })
	})
	return c
}

// Logs implements sinks.Source: an outbox is a log, of which the beginning is dropped.
func (b *Keeper) Logs(context.Context) ([]sinks.Log, error) {
	select {
	case <-b.loaded:
	default:
		return nil, errNotLoaded
	}
	all := b.snapshot()
	logs := make([]sinks.Log, 0, len(all))
	for _, o := range all {
		if o.Spec.Next <= 1 {
			continue
		}
		log := sinks.Log{Key: string(o.Spec.GroupUID), First: uint64(o.Spec.Next), Last: uint64(o.Spec.Next - 1)}
		if len(o.Spec.Windows) > 0 {
			log.First = uint64(o.Spec.Windows[0].First)
		}
		logs = append(logs, log)
	}
	return logs, nil
}

// Read implements sinks.Source.
func (b *Keeper) Read(_ context.Context, log string, after uint64, limit int) ([]sinks.Record, error) {
	o := b.get(types.UID(log))
	if o == nil {
		return nil, nil
	}
	var records []sinks.Record
	for i := range o.Spec.Windows {
		w := &o.Spec.Windows[i]
		for n, event := range window.Events(&o.Spec, w) {
			sequence := uint64(w.First) + uint64(n)
			if sequence <= after {
				continue
			}
			if len(records) >= limit {
				return records, nil
			}
			body, err := event.Encode()
			if err != nil {
				return nil, fmt.Errorf("reading an outbox: %w", err)
			}
			records = append(records, sinks.Record{
				Log: log, Sequence: sequence, ID: event.ID, Type: event.Type, Time: w.End.Time, Body: body,
			})
		}
	}
	return records, nil
}

// Load implements sinks.Store. Sinks begin when the outboxes are read.
func (b *Keeper) Load(ctx context.Context) (map[string]sinks.Positions, error) {
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for BillingOutboxes: %w", ctx.Err())
	case <-b.loaded:
	}
	positions := map[string]sinks.Positions{}
	for _, o := range b.snapshot() {
		for _, r := range o.Spec.Receivers {
			if positions[r.Name] == nil {
				positions[r.Name] = sinks.Positions{}
			}
			positions[r.Name][string(o.Spec.GroupUID)] = uint64(max(r.Through, 0))
		}
	}
	return positions, nil
}

// Save implements sinks.Store. It writes some outboxes, and returns what belongs into others.
func (b *Keeper) Save(ctx context.Context, moved map[string]sinks.Positions, _ func(sink, log string) bool,
) (left map[string]sinks.Positions, err error) {
	of := map[types.UID]map[string]int64{}
	for sink, positions := range moved {
		for log, position := range positions {
			if of[types.UID(log)] == nil {
				of[types.UID(log)] = map[string]int64{}
			}
			of[types.UID(log)][sink] = int64(min(position, 1<<62)) //nolint:gosec // it is bounded
		}
	}
	left = map[string]sinks.Positions{}
	written := 0
	for uid, through := range of {
		if b.get(uid) == nil {
			continue
		}
		if err == nil && written < savesAtOnce {
			written++
			err = b.change(ctx, uid, func(o *v1alpha1.BillingOutbox) { window.Acknowledge(&o.Spec, b.Receivers, through) })
			if err == nil {
				continue
			}
		}
		for sink, position := range through {
			if left[sink] == nil {
				left[sink] = sinks.Positions{}
			}
			left[sink][string(uid)] = uint64(position) //nolint:gosec // it is not negative
		}
	}
	return left, err
}
