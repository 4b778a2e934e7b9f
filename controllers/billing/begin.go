package billing

import (
	"context"
	"fmt"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/billing/window"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// Begin reports whether the GroupUsage that is about to be made for a Group is made with the finalizer of billing, so that what is used of
// a Group is billed that lives for less than a look. The outbox of the Group is persisted first: without one, nobody would remove the
// finalizer. What cannot be persisted is no reason not to count: then the next look holds the GroupUsage.
func (b *Keeper) Begin(ctx context.Context, g *v1alpha1.Group) bool {
	if g.Spec.Billing == (v1alpha1.BillingReference{}) {
		return false
	}
	select {
	case <-b.loaded:
	default:
		return false // the first look is when they are
	}
	o := b.get(g.UID)
	if o == nil {
		err := b.change(ctx, g.UID, func(o *v1alpha1.BillingOutbox) {
			if o.Spec.GroupUID != "" {
				return // a look has made it meanwhile
			}
			now := b.Clock.Now()
			begin(o, g)
			u := usagequery.Of(g, &v1alpha1.GroupUsage{})
			_ = window.Close(&o.Spec, window.Of(&u, now.Add(-grace)), now.Add(-grace))
		})
		if o = b.get(g.UID); o == nil && ctx.Err() == nil {
			b.Log.Error(err, "Cannot begin to bill a Group; the next look tries again", "group", g.Namespace+"/"+g.Name)
		}
	}
	return o != nil && !isFinal(o)
}

// begin makes an outbox that of a Group.
func begin(o *v1alpha1.BillingOutbox, g *v1alpha1.Group) {
	o.Name = NameOf(g.UID)
	o.Spec.Group, o.Spec.GroupUID, o.Spec.Billing = g.Namespace+"/"+g.Name, g.UID, g.Spec.Billing
}

func isFinal(o *v1alpha1.BillingOutbox) bool { return o.Spec.Final != nil && *o.Spec.Final }

// letGo removes the finalizer from the GroupUsages of deleted Groups that have no outbox, or their namespaces could not end. An earlier
// leader leaves one if it ends between the finalizer and the outbox.
func (b *Keeper) letGo(ctx context.Context) error {
	held, err := b.Groups.Held(ctx)
	if err != nil {
		return fmt.Errorf("listing GroupUsages that are held: %w", err)
	}
	for _, g := range held {
		if b.get(g.UID) != nil {
			continue // a look lets go of it
		}
		if err := b.limiter.Wait(ctx); err != nil {
			return err
		}
		if exists, err := b.Groups.Exists(ctx, g); err != nil {
			return err
		} else if exists {
			continue
		}
		if err := b.Groups.Hold(ctx, g, false); err != nil {
			return err
		}
	}
	return nil
}
