package store

import "context"

// Notified is a store that passes on the totals of each ledger that is saved.
type Notified struct {
	Store

	Saved func(key Key, totals Totals)
}

// Save implements Store.
func (n *Notified) Save(ctx context.Context, key Key, entry Entry, totals Totals) (string, error) {
	version, err := n.Store.Save(ctx, key, entry, totals)
	if err == nil {
		n.Saved(key, totals)
	}
	return version, err
}
