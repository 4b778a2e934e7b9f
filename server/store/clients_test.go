package store

import (
	"slices"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/addresses"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestRestrictionsThatCannotBeRead: a key is left out if it restricts its clients in a way that the validator does not know,
// whether it comes over the stream or from the journal. What was known of it is no longer in force.
func TestRestrictionsThatCannotBeRead(t *testing.T) {
	for name, change := range map[string]func(*syncv1.Key){
		"clients of a later release": func(k *syncv1.Key) { k.Clients = 3 },
		"negative clients":           func(k *syncv1.Key) { k.Clients = -1 },
		"an address that is none":    func(k *syncv1.Key) { k.Addresses = []string{"192.0.2.0/24", "192.0.2.0"} },
		"an empty address":           func(k *syncv1.Key) { k.Addresses = []string{""} },
		"too many addresses": func(k *syncv1.Key) {
			k.Addresses = slices.Repeat([]string{"192.0.2.0/24"}, addresses.Max+1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Config{Dir: dir})
			apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{key("acme", 1)}})
			if !s.HasKey(key("acme", 1).GetId()) {
				t.Fatal("the key is not known at first")
			}
			changed := key("acme", 1)
			change(changed)
			apply(t, s, &syncv1.Update{Keys: []*syncv1.Key{changed}})
			for range 2 {
				if s.HasKey(changed.GetId()) {
					t.Error("the key is known")
				}
				s = open(t, Config{Dir: dir})
			}
		})
	}
}

// TestKeysWithTheSameClientsShareThem: the prefixes are compiled once for all of them, and dropped with the last.
func TestKeysWithTheSameClientsShareThem(t *testing.T) {
	s := open(t, Config{})
	restricted := func(n int) *syncv1.Key {
		k := key("acme", n)
		k.Clients, k.Addresses = syncv1.Clients_CLIENTS_SERVER, []string{"192.0.2.0/24", "2001:db8::/32"}
		return k
	}
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{restricted(1), restricted(2), key("acme", 3)}})
	find := func(n int) decision.Match {
		match, _ := s.Find([32]byte(key("acme", n).GetVersions()[0].GetDigest()))
		return match
	}
	one, two, other := find(1), find(2), find(3)
	if len(one.Key.Scope.Addresses) != 2 || one.Key.Scope.Clients != decision.ServerOnly || one.Key.Scope != two.Key.Scope {
		t.Errorf("%+v, %+v", one.Key.Scope, two.Key.Scope)
	}
	if len(other.Key.Scope.Addresses) != 0 || other.Key.Scope.Clients != decision.AnyClient {
		t.Errorf("%+v", other.Key.Scope)
	}
	apply(t, s, &syncv1.Update{DeletedKeys: []string{restricted(1).GetId(), restricted(2).GetId()}})
	if n := len(s.scopes.byEncoding); n != 1 {
		t.Errorf("%d scopes", n)
	}
}
