package traffic

import (
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/internal/decisioncode"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	// maxKeyID is the longest id of a key, in bytes: that of status.keyID.
	maxKeyID = 32
	// maxKeys is how many refused keys and codes of a group wait at once. When they are more, those that were refused longest ago are left out.
	maxKeys = usageseries.MaxRefusedKeys
	// maxAllKeys is how many of all groups wait; further ones are left out.
	maxAllKeys = 100_000
)

// ReportKeys adds what a server reports of the keys of groups that it serves. What is wrong is left out, and only that: ids that no key of the group has
// take no place of those that one has.
func (p *Pending) ReportKeys(from *session.Session, report *syncv1.KeyRefusalReport) {
	now := p.clock.Now()
	groups := map[string]usageseries.Traffic{}
	for _, said := range report.GetKeys() {
		group := said.GetGroup()
		seen, asked := groups[group]
		if !asked {
			if serves, known := from.Serves(group); serves {
				seen.Keys = map[usageseries.KeyCode]usageseries.KeyRefusals{}
			} else if known {
				refused.Inc()
			}
			groups[group] = seen
		}
		if of, is, right := readKey(said, now); right && seen.Keys != nil && from.ServesKey(group, of.Key) {
			seen.Keys[of] = seen.Keys[of].Plus(is)
		}
	}
	for group, seen := range groups {
		if len(seen.Keys) > 0 {
			p.add(group, seen)
		}
	}
}

// readKey returns what a server reports of a key. Times that are ahead of the manager's clock count as now, and a server whose clock is far behind reports
// nothing: what is that old is not kept.
func readKey(said *syncv1.KeyRefusal, now time.Time) (of usageseries.KeyCode, is usageseries.KeyRefusals, right bool) {
	of = usageseries.KeyCode{Key: said.GetKey(), Code: said.GetCode()}
	if code, known := decisioncode.Parse(of.Code); !known { // a later server may know more
		of.Code = usageseries.Other
	} else if !code.Refuses() {
		return of, is, false
	}
	is = usageseries.KeyRefusals{
		Requests: min(said.GetRequests(), quotaledger.Max),
		First:    time.UnixMilli(said.GetFirstMs()), Last: time.UnixMilli(said.GetLastMs()),
	}
	if is.Last.After(now) {
		is.Last = now
	}
	if is.First.After(is.Last) || is.Last.Sub(is.First) > usageseries.RefusedKept {
		is.First = is.Last
	}
	if isOrigin(said.GetOrigin()) {
		is.Origin = said.GetOrigin()
	}
	known := of.Key != "" && len(of.Key) <= maxKeyID
	return of, is, known && is.Requests > 0 && now.Sub(is.Last) <= usageseries.RefusedKept
}

// addKeys adds what was seen of the keys of a group to what waits of it. Its caller holds the lock.
func (p *Pending) addKeys(is *usageseries.Traffic, seen usageseries.Traffic) {
	for of, more := range seen.Keys {
		was, known := is.Keys[of]
		if !known {
			if len(is.Keys) >= maxKeys && !p.makeRoom(is.Keys, more.Last) || p.keys >= maxAllKeys {
				continue
			}
			if is.Keys == nil {
				is.Keys = map[usageseries.KeyCode]usageseries.KeyRefusals{}
			}
			p.keys++
		}
		is.Keys[of] = was.Plus(more)
	}
}

// makeRoom leaves out what was refused longest ago, if that is longer ago than an instant.
func (p *Pending) makeRoom(keys map[usageseries.KeyCode]usageseries.KeyRefusals, than time.Time) bool {
	var oldest usageseries.KeyCode
	found := false
	for of, is := range keys {
		if is.Last.Before(than) {
			oldest, than, found = of, is.Last, true
		}
	}
	if found {
		delete(keys, oldest)
		p.keys--
	}
	return found
}
