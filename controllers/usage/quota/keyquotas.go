package quota

import (
	"cmp"
	"slices"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// keyQuotas are the quotas of the keys of one group, of which only so many are in force: those of the keys that were created first.
// The others are 0, so that it is not the case that a key is limited less because there are too many.
type keyQuotas []keyQuota

type keyQuota struct {
	key      string // the id
	created  time.Time
	requests uint64
}

func byAge(a, b keyQuota) int { return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.key, b.key)) }

// set replaces the quota of a key, or removes it, which is nil. It calls changed with each key whose quota in force is
// another one because of that: nil for none.
func (q *keyQuotas) set(key string, created time.Time, requests *uint64, changed func(key string, requests *uint64)) {
	if i := slices.IndexFunc(*q, func(of keyQuota) bool { return of.key == key }); i >= 0 {
		if requests != nil && (*q)[i].created.Equal(created) {
			(*q)[i].requests = *requests
			changed(key, q.inForce(i))
			return
		}
		*q = slices.Delete(*q, i, i+1)
		changed(key, nil)
		if last := v1alpha1.MaxKeyQuotas - 1; i <= last && last < len(*q) { // it is within the bound now
			changed((*q)[last].key, q.inForce(last))
		}
	}
	if requests == nil {
		return
	}
	added := keyQuota{key, created, *requests}
	i, _ := slices.BinarySearchFunc(*q, added, byAge)
	*q = slices.Insert(*q, i, added)
	changed(key, q.inForce(i))
	if first := v1alpha1.MaxKeyQuotas; i < first && first < len(*q) { // it is beyond the bound now
		changed((*q)[first].key, q.inForce(first))
	}
}

func (q *keyQuotas) inForce(i int) *uint64 {
	requests := (*q)[i].requests
	if i >= v1alpha1.MaxKeyQuotas {
		requests = 0
	}
	return &requests
}
