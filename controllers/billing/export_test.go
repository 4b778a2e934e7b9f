package billing

import "context"

// ReadOutboxes does what a leader does first, without what it does then.
func (b *Keeper) ReadOutboxes(ctx context.Context) error { return b.load(ctx) }
