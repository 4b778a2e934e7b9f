package group

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// used is what the status of a Group shows of its usage if it is written.
type used struct {
	r     *Reconciler
	name  types.NamespacedName
	usage *v1alpha1.UsageTotals // nil if nothing is known that it does not show
	due   bool                  // it is written for that
}

// use puts the latest usage into the status.
func (r *Reconciler) use(group *v1alpha1.Group) used {
	u := used{r: r, name: client.ObjectKeyFromObject(group)}
	if r.Totals == nil {
		return u
	}
	u.usage, u.due = r.Totals.Of(u.name)
	if was := group.Status.Usage; u.usage != nil && was != nil && was.Period > u.usage.Period {
		u.usage, u.due = nil, false
	}
	if u.usage != nil {
		group.Status.Usage = u.usage
	}
	return u
}

// isNothingElse reports whether the status need not be written: it is as it was, or only shows other usage, and that is not due.
func (u *used) isNothingElse(before, group *v1alpha1.Group) bool {
	if equality.Semantic.DeepEqual(before.Status, group.Status) {
		u.shown()
		return true
	}
	if u.due {
		return false
	}
	rest := group.Status
	rest.Usage = before.Status.Usage
	return equality.Semantic.DeepEqual(before.Status, rest)
}

// shown records that the status shows the usage.
func (u *used) shown() {
	if u.usage != nil {
		u.r.Totals.Shown(u.name, u.usage)
	}
}

// totals reconciles a Group when its status is to show other usage.
func (r *Reconciler) totals() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		if r.Totals != nil {
			r.Totals.OnDue(func(name types.NamespacedName) { queue.Add(reconcile.Request{NamespacedName: name}) })
		}
		return nil
	})
}
