package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

const (
	// maxListed is how many rejected records a list has, and maxListedKeys how many keys of one group. Of a group with more, the
	// group is listed instead.
	maxListed, maxListedKeys = 1000, 16
	// maxReason is the maximum length of a reason, in bytes.
	maxReason = 256
)

// rejections are the records that the store was sent and cannot use, or not in every part. They are reported to the manager: an
// acknowledgement alone would say that they are in force. Only the holder of Store.writing uses it.
type rejections struct {
	groups  map[string]string // reasons by identity
	keys    map[string]rejectedKey
	changed bool
	// Of the record that is being applied: how many parts cannot be used, and why not the first.
	faults int
	fault  string
}

type rejectedKey struct {
	group, reason string
	pass          uint32 // see keytable.Key
}

func newRejections() rejections {
	return rejections{groups: map[string]string{}, keys: map[string]rejectedKey{}}
}

// reason returns why the record that was applied is rejected, and begins the next one; "" if it is not.
func (r *rejections) reason() string {
	faults, fault := r.faults, r.fault
	r.faults, r.fault = 0, ""
	switch faults {
	case 0:
		return ""
	case 1:
		return shorten(fault)
	default:
		return shorten(fmt.Sprintf("%d parts cannot be used; %s", faults, fault))
	}
}

// add adds a part that cannot be used to the record that is being applied.
func (r *rejections) add(kind, name string, err error) {
	if r.faults++; r.faults == 1 {
		r.fault = fmt.Sprintf("%s %s: %v", kind, name, err)
	}
}

// shorten cuts a reason between two characters.
func shorten(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	end := maxReason - len("…")
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end] + "…"
}

func (r *rejections) putGroup(identity, reason string) {
	if r.groups[identity] == reason {
		return
	}
	r.changed = true
	if reason == "" {
		delete(r.groups, identity)
	} else {
		r.groups[identity] = reason
	}
}

func (r *rejections) putKey(id, group, reason string, pass uint32) {
	before, was := r.keys[id]
	switch {
	case reason != "":
		r.keys[id] = rejectedKey{group, reason, pass}
		r.changed = r.changed || before.reason != reason || before.group != group
	case was:
		delete(r.keys, id)
		r.changed = true
	}
}

// deleteGroup forgets a group with its keys.
func (r *rejections) deleteGroup(identity string) {
	r.putGroup(identity, "")
	for id, key := range r.keys {
		if key.group == identity {
			r.putKey(id, "", "", 0)
		}
	}
}

// sweep forgets keys of replaced groups that were not sent again.
func (r *rejections) sweep(renewed map[string]uint32) {
	for id, key := range r.keys {
		if pass, ok := renewed[key.group]; ok && key.pass < pass {
			r.putKey(id, "", "", 0)
		}
	}
}

// incomplete returns the groups that have rejected records.
func (r *rejections) incomplete() map[string]bool {
	groups := map[string]bool{}
	for identity := range r.groups {
		groups[identity] = true
	}
	for _, key := range r.keys {
		groups[key.group] = true
	}
	return groups
}

// list returns the list for the manager.
func (r *rejections) list() *syncv1.Rejections {
	keys := map[string][]string{} // ids by group
	for id, key := range r.keys {
		keys[key.group] = append(keys[key.group], id)
	}
	list := &syncv1.Rejections{}
	add := func(kind syncv1.RecordKind, id, reason string) {
		if len(list.GetRecords()) == maxListed {
			list.More = true
			return
		}
		list.Records = append(list.Records, &syncv1.Rejected{Kind: kind, Id: id, Reason: reason})
	}
	for _, identity := range slices.Sorted(maps.Keys(r.groups)) {
		add(syncv1.RecordKind_RECORD_KIND_GROUP, identity, r.groups[identity])
		delete(keys, identity) // the group stands for them
	}
	for _, identity := range slices.Sorted(maps.Keys(keys)) {
		ids := keys[identity]
		slices.SortFunc(ids, cmp.Compare[string])
		if len(ids) > maxListedKeys && identity != "" {
			add(syncv1.RecordKind_RECORD_KIND_GROUP, identity, shorten(fmt.Sprintf("%d keys cannot be used; %s", len(ids), r.keys[ids[0]].reason)))
			continue
		}
		for _, id := range ids {
			add(syncv1.RecordKind_RECORD_KIND_KEY, id, r.keys[id].reason)
		}
	}
	return list
}

// Rejections returns the records that the store has and cannot use, or nil if they are the same as when it was last called,
// unless whole is set.
func (s *Store) Rejections(whole bool) *syncv1.Rejections {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.rejected.changed && !whole {
		return nil
	}
	s.rejected.changed = false
	list := s.rejected.list()
	if whole && len(list.GetRecords()) == 0 {
		return nil
	}
	return list
}
