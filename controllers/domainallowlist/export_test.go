package domainallowlist

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// AllowlistsBeside is what a change of the list has reconciled.
func (r *Reconciler) AllowlistsBeside(ctx context.Context, list client.Object) []reconcile.Request {
	return r.allowlistsBeside(ctx, list)
}
