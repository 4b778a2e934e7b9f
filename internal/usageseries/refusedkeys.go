package usageseries

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// MaxRefusedKeys is how many keys and codes a Group has.
	MaxRefusedKeys = 50
	// maxRefusedBytes is how many bytes of JSON they may take, where refusedOverhead is that of one beside its texts.
	maxRefusedBytes, refusedOverhead = 12 << 10, 220
	// RefusedKept is for how long what was refused last is kept.
	RefusedKept = 48 * time.Hour
	// countedFor is how long a number counts before it begins from 0 again, so that it says what happens lately.
	countedFor = 24 * time.Hour
	// reportedWithin is how long before the last request that is reported a number begins at most: servers report every few seconds.
	reportedWithin = time.Hour
)

// KeyCode is a key, by its id, and the decision code that requests with it were refused with.
type KeyCode struct{ Key, Code string }

// KeyRefusals are requests with a key that were refused with a code.
type KeyRefusals struct {
	Requests    uint64
	First, Last time.Time
	Origin      string // of the latest that had one, as scheme://host; empty if none had
}

// Plus returns both together.
func (a KeyRefusals) Plus(b KeyRefusals) KeyRefusals {
	if a.Requests == 0 {
		return b
	}
	if b.Last.Before(a.Last) {
		a, b = b, a
	}
	sum := KeyRefusals{
		Requests: min(min(a.Requests, quotaledger.Max)+min(b.Requests, quotaledger.Max), quotaledger.Max),
		First:    a.First, Last: b.Last, Origin: cmp.Or(b.Origin, a.Origin),
	}
	if b.First.Before(a.First) {
		sum.First = b.First
	}
	return sum
}

// recorded returns an entry with what was seen more. When it began is not moved back by a server that reports late, or whose clock is behind: the next
// report would end its count.
func (a KeyRefusals) recorded(more KeyRefusals) KeyRefusals {
	if a.Requests == 0 || more.Last.Sub(a.First) > countedFor {
		if more.Last.Sub(more.First) > reportedWithin {
			more.First = more.Last.Add(-reportedWithin)
		}
		return more
	}
	first := a.First
	a = a.Plus(more)
	a.First = first
	return a
}

// RecordRefusedKeys adds what was seen, and drops what was refused too long ago, and keys of which owner says that the Group does not have them.
// What finds no room is what was refused longest ago.
func RecordRefusedKeys(status *v1alpha1.GroupUsageStatus, at time.Time, seen map[KeyCode]KeyRefusals,
	owner func(id string) (v1alpha1.KeyUsageOwner, bool),
) {
	if len(status.RefusedKeys) == 0 && len(seen) == 0 {
		return
	}
	all := make(map[KeyCode]KeyRefusals, len(status.RefusedKeys)+len(seen))
	for i := range status.RefusedKeys {
		was := &status.RefusedKeys[i]
		all[KeyCode{was.KeyID, was.Code}] = KeyRefusals{
			Requests: uint64(max(0, was.Requests)), First: was.FirstAt.Time, Last: was.LastAt.Time, Origin: was.Origin,
		}
	}
	for of, more := range seen {
		all[of] = all[of].recorded(more)
	}
	status.RefusedKeys = nil
	names := map[string]v1alpha1.KeyUsageOwner{}
	for of, is := range all {
		if is.Requests == 0 || at.Sub(is.Last) > RefusedKept {
			continue
		}
		name, known := names[of.Key]
		if !known {
			name, _ = owner(of.Key)
			names[of.Key] = name
		}
		if name.Name == "" {
			continue
		}
		status.RefusedKeys = append(status.RefusedKeys, v1alpha1.RefusedKey{
			KeyID: of.Key, Code: of.Code, APIKey: name, Requests: int64(min(is.Requests, quotaledger.Max)),
			FirstAt: metav1.NewTime(is.First.Truncate(time.Second)), LastAt: metav1.NewTime(is.Last.Truncate(time.Second)), Origin: is.Origin,
		})
	}
	slices.SortFunc(status.RefusedKeys, func(a, b v1alpha1.RefusedKey) int {
		return cmp.Or(b.LastAt.Compare(a.LastAt.Time), strings.Compare(a.KeyID, b.KeyID), strings.Compare(a.Code, b.Code))
	})
	boundRefused(status)
}

func boundRefused(status *v1alpha1.GroupUsageStatus) {
	left := maxRefusedBytes
	for i := range status.RefusedKeys {
		of := &status.RefusedKeys[i]
		left -= refusedOverhead + len(of.KeyID) + len(of.Code) + len(of.APIKey.Namespace) + len(of.APIKey.Name) + len(of.Origin)
		if i == MaxRefusedKeys || left < 0 {
			status.RefusedKeys = slices.Clip(status.RefusedKeys[:i])
			return
		}
	}
}
