package store

import "context"

// Notified is a store that passes on the totals of each ledger that is saved: of a Group to Saved, of a key to SavedKey.
type Notified struct {
	Store

	Saved, SavedKey func(key Key, totals Totals) // nil for nobody
}

// Save implements Store.
func (n *Notified) Save(ctx context.Context, key Key, entry Entry, totals Totals) (string, error) {
	version, err := n.Store.Save(ctx, key, entry, totals)
	saved := n.Saved
	if key.Owner != "" {
		saved = n.SavedKey
	}
	if err == nil && saved != nil {
		saved(key, totals)
	}
	return version, err
}
