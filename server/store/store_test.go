package store

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/decision"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, config Config) *Store {
	t.Helper()
	s, err := Open(config, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func apply(t testing.TB, s *Store, update *syncv1.Update) {
	t.Helper()
	if err := s.Apply(update); err != nil {
		t.Fatal(err)
	}
}

func group(name string) *syncv1.Group {
	return &syncv1.Group{
		Namespace: "tenants", Name: name, State: syncv1.GroupState_GROUP_STATE_ACTIVE, DisplayName: name,
		Projects: []*syncv1.Project{{Name: "default", OwnsAll: true, Origins: &syncv1.OriginPolicy{AllowLocalhost: true, AllowMissing: true}}},
	}
}

func digestOf(n int) keyformat.Digest { return sha256.Sum256(fmt.Append(nil, n)) }

// key returns a key with one version, both with that number.
func key(group string, n int) *syncv1.Key {
	digest := digestOf(n)
	return &syncv1.Key{
		Id: fmt.Sprintf("k%d", n), Group: "tenants/" + group,
		Projects: []string{"default"}, Permissions: []string{"read"}, Versions: []*syncv1.Version{{Digest: digest[:]}},
	}
}

func knows(s *Store, n int) bool { _, ok := s.Find(digestOf(n)); return ok }

func TestApply(t *testing.T) {
	s := open(t, Config{})
	if s.Health(start) != decision.Unsynced {
		t.Error("an empty store is synced")
	}
	apply(t, s, &syncv1.Update{Revision: 1, Groups: []*syncv1.Group{group("acme"), group("umbrella")},
		Keys: []*syncv1.Key{key("acme", 1), key("acme", 2), key("umbrella", 3)}})
	if s.Health(start) != decision.Unsynced {
		t.Error("synced before it is caught up")
	}
	apply(t, s, &syncv1.Update{Revision: 2, CaughtUp: true})
	if s.Health(start) != decision.Synced || !knows(s, 1) || !knows(s, 2) || !knows(s, 3) {
		t.Fatal("not synced")
	}
	match, _ := s.Find(digestOf(1))
	if match.Key.ID != "k1" || match.Group.Identity != "tenants/acme" || match.Group.State != decision.Active {
		t.Errorf("found %+v", match)
	}

	rotated := key("acme", 1)
	next := digestOf(10)
	rotated.Versions = append(rotated.Versions, &syncv1.Version{Digest: next[:], ExpiresAtMs: 5, RetiresAtMs: 6, Revoked: true})
	apply(t, s, &syncv1.Update{Revision: 3, Keys: []*syncv1.Key{rotated}})
	if match, _ := s.Find(next); match.Version != (decision.Version{ExpiresAtMillis: 5, RetiresAtMillis: 6, Revoked: true}) || !knows(s, 1) {
		t.Errorf("found %+v", match)
	}
	rotated = proto.CloneOf(rotated)
	rotated.Versions = rotated.Versions[1:]
	frozen := group("acme")
	frozen.State = syncv1.GroupState_GROUP_STATE_FROZEN
	apply(t, s, &syncv1.Update{Revision: 4, Keys: []*syncv1.Key{rotated}, Groups: []*syncv1.Group{frozen},
		DeletedKeys: []string{"k2", "never"}})
	if match, _ := s.Find(next); match.Group.State != decision.Frozen || knows(s, 1) || knows(s, 2) {
		t.Errorf("found %+v", match)
	}
	apply(t, s, &syncv1.Update{Revision: 5, DeletedGroups: []string{"tenants/acme", "tenants/never"}})
	if knows(s, 10) || !knows(s, 3) || s.Revision() != 5 {
		t.Error("the wrong group was deleted")
	}
	if groups, keys, versions := s.Size(); groups != 1 || keys != 1 || versions != 1 {
		t.Errorf("left: %d groups, %d keys, %d versions", groups, keys, versions)
	}
}

func TestStaleness(t *testing.T) {
	for _, c := range []struct {
		config Config
		age    time.Duration
		want   decision.Health
	}{
		{Config{}, time.Hour, decision.Synced},
		{Config{DenyStale: true}, time.Hour, decision.Synced},
		{Config{MaxStaleness: time.Minute}, time.Hour, decision.Synced},
		{Config{MaxStaleness: time.Minute, DenyStale: true}, time.Minute, decision.Synced},
		{Config{MaxStaleness: time.Minute, DenyStale: true}, time.Minute + time.Millisecond, decision.TooStale},
	} {
		s := open(t, c.config)
		apply(t, s, &syncv1.Update{CaughtUp: true})
		s.Contact(start)
		if got := s.Health(start.Add(c.age)); got != c.want {
			t.Errorf("%+v after %v: %v", c.config, c.age, got)
		}
	}
}

// TestBadRecordsAreLeftOut sends records that no manager should send: the rest still works, and nothing is allowed because
// of the bad part. No project owns what bad routes might.
func TestBadRecordsAreLeftOut(t *testing.T) {
	s := open(t, Config{})
	g := group("acme")
	g.Projects = []*syncv1.Project{
		{Name: "bad", Routes: []*syncv1.Route{{Paths: []string{"no-slash"}}, {},
			{Query: []*syncv1.QueryMatch{{Name: "a", Values: []string{"1"}}, {Name: "a", Values: []string{"2"}}}}}},
		{Name: "good", Routes: []*syncv1.Route{{Paths: []string{"/**"}}}, Origins: &syncv1.OriginPolicy{Patterns: []string{"*", "acme.com"}}},
	}
	g.Context = map[string]string{"bad name": "x", "good": "y"}
	short := key("acme", 2)
	short.Versions[0].Digest = short.Versions[0].Digest[:31]
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{g}, Keys: []*syncv1.Key{key("acme", 1), short, key("unknown", 3)}, CaughtUp: true})
	match, ok := s.Find(digestOf(1))
	if !ok || len(match.Group.Projects[0].Routes) != 0 || len(match.Group.Projects[1].Routes) != 0 ||
		len(match.Group.Projects[1].Origins.Patterns) != 1 || len(match.Group.Context) != 1 {
		t.Errorf("found %+v", match.Group)
	}
	if knows(s, 2) || knows(s, 3) {
		t.Error("a bad key is known")
	}
}

// versionsOf are the versions of groups that the store says to have.
func versionsOf(t testing.TB, s *Store) map[string]string {
	t.Helper()
	known, err := s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, of := range known {
		versions[of.GetGroup()] = string(of.GetVersion())
	}
	return versions
}

func version(group, version string) []*syncv1.GroupVersion {
	return []*syncv1.GroupVersion{{Group: group, Version: []byte(version)}}
}

// TestVersionsAreEchoed: a version is stored, over a restart and a compaction, until the group changes without one.
func TestVersionsAreEchoed(t *testing.T) {
	const acme = "tenants/acme"
	s := open(t, Config{Dir: t.TempDir()})
	g, keys := group("acme"), []*syncv1.Key{key("acme", 2), key("acme", 1)}
	g.Limits = &syncv1.Limits{Rate: &syncv1.RateLimit{PerSecond: 5, Burst: 6}}
	keys[1].Rate = &syncv1.RateLimit{PerSecond: 7, Burst: 8}
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{g}, Keys: keys, Versions: version(acme, "one"), CaughtUp: true})
	s.writing.Lock()
	if err := s.compact(); err != nil {
		t.Fatal(err)
	}
	s.writing.Unlock()
	for range 2 {
		if got := versionsOf(t, s); len(got) != 1 || got[acme] != "one" {
			t.Fatalf("known %v", got)
		}
		if match, ok := s.Find(digestOf(1)); !ok || match.Group.Limits.Rate != (decision.RateLimit{PerSecond: 5, Burst: 6}) ||
			match.Key.Rate != (decision.RateLimit{PerSecond: 7, Burst: 8}) {
			t.Errorf("the rates are %+v and %+v", match.Group.Limits, match.Key.Rate)
		}
		s = open(t, s.config) // and after a restart
	}
	for _, c := range []struct {
		name   string
		update *syncv1.Update
		want   string
	}{
		{"a key without a version", &syncv1.Update{Keys: keys[:1]}, ""},
		{"a key with one", &syncv1.Update{Keys: keys[:1], Versions: version(acme, "two")}, "two"},
		{"a deleted key", &syncv1.Update{DeletedKeys: []string{keys[0].GetId()}}, ""},
		{"a version alone", &syncv1.Update{Versions: version(acme, "three")}, "three"},
		{"the group", &syncv1.Update{Groups: []*syncv1.Group{g}}, ""},
		{"a group that is being replaced", &syncv1.Update{ReplacedGroups: []string{acme}, Groups: []*syncv1.Group{g},
			Versions: version(acme, "four")}, ""}, // Begin forgets it
		{"a group that is replaced", &syncv1.Update{ReplacedGroups: []string{acme}, Groups: []*syncv1.Group{g},
			Versions: version(acme, "five"), CaughtUp: true}, "five"},
		{"a group that is not known", &syncv1.Update{Versions: version("tenants/other", "six")}, "five"},
	} {
		apply(t, s, c.update)
		for range 2 {
			if got := versionsOf(t, s); len(got) != 1 || got[acme] != c.want {
				t.Errorf("%s: known %v", c.name, got)
			}
			s = open(t, s.config)
		}
	}
}

// TestRejectionsAreListed: what cannot be used is listed while it is so, and a group that lacks it has no version after a restart
// from a compacted journal, so that a later release is sent it again.
func TestRejectionsAreListed(t *testing.T) {
	const acme = "tenants/acme"
	s := open(t, Config{Dir: t.TempDir()})
	listed := func(list *syncv1.Rejections) (ids []string) {
		for _, rejected := range list.GetRecords() {
			if rejected.GetReason() == "" || len(rejected.GetReason()) > maxReason {
				t.Errorf("reason %q", rejected.GetReason())
			}
			ids = append(ids, rejected.GetId())
		}
		return ids
	}
	bad := key("acme", 2)
	bad.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1))
	informative := key("acme", 3)
	informative.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{key("acme", 1), bad, informative},
		Versions: version(acme, "one"), CaughtUp: true})
	if got := listed(s.Rejections(false)); !slices.Equal(got, []string{bad.GetId()}) || knows(s, 2) || !knows(s, 1) || !knows(s, 3) {
		t.Errorf("rejected %v", got)
	}
	if s.Rejections(false) != nil || len(listed(s.Rejections(true))) != 1 {
		t.Error("what has not changed is returned, or the whole is not")
	}
	if restarted := open(t, s.config); len(listed(restarted.Rejections(true))) != 1 {
		t.Error("a restart forgets it")
	}
	s.writing.Lock()
	if err := s.compact(); err != nil {
		t.Fatal(err)
	}
	s.writing.Unlock()
	if versionsOf(t, s)[acme] != "one" {
		t.Error("the process that knows what it rejects is sent the group again")
	}
	if restarted := open(t, s.config); versionsOf(t, restarted)[acme] != "" || restarted.Rejections(true) != nil {
		t.Error("a process that may be of a later release is not sent the group again")
	}
	apply(t, s, &syncv1.Update{Keys: []*syncv1.Key{key("acme", 2)}})
	if list := s.Rejections(false); list == nil || len(list.GetRecords()) != 0 || !knows(s, 2) {
		t.Errorf("once it can be used, rejected %v", list)
	}
	var many []*syncv1.Key
	for i := range 40 {
		k := key("acme", 10+i)
		k.Versions[0].Digest = []byte("short")
		many = append(many, k)
	}
	apply(t, s, &syncv1.Update{Keys: many})
	if list := s.Rejections(false); len(list.GetRecords()) != 1 || list.GetRecords()[0].GetKind() != syncv1.RecordKind_RECORD_KIND_GROUP ||
		list.GetRecords()[0].GetId() != acme {
		t.Errorf("of many, rejected %v", list)
	}
	apply(t, s, &syncv1.Update{DeletedGroups: []string{acme}})
	if list := s.Rejections(false); list == nil || len(list.GetRecords()) != 0 {
		t.Errorf("after the group is deleted, rejected %v", list)
	}
}

// TestLaterGroupsAllowNothing: a field, a value or a route of a later release may restrict what the group allows.
func TestLaterGroupsAllowNothing(t *testing.T) {
	unknown := func(m proto.Message, number protowire.Number) {
		m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), 1))
	}
	for name, c := range map[string]struct {
		change func(*syncv1.Group)
		want   string
	}{
		"as it is":                      {func(*syncv1.Group) {}, ""},
		"a field that may be ignored":   {func(g *syncv1.Group) { unknown(g, 1001) }, ""},
		"a field":                       {func(g *syncv1.Group) { unknown(g, 99) }, "field 99"},
		"a field of a project":          {func(g *syncv1.Group) { unknown(g.GetProjects()[0], 99) }, "projects[0].field 99"},
		"a field of the limits":         {func(g *syncv1.Group) { g.Limits = &syncv1.Limits{}; unknown(g.GetLimits(), 99) }, "limits.field 99"},
		"a value":                       {func(g *syncv1.Group) { g.State = 9 }, "state: the value 9"},
		"a value in another message":    {func(g *syncv1.Group) { g.Limits = &syncv1.Limits{Overage: 9} }, "limits.overage: the value 9"},
		"a value in a list":             {func(g *syncv1.Group) { g.AcceptIn = []syncv1.KeyLocation{9} }, "accept_in: the value 9"},
		"a route that cannot be read":   {func(g *syncv1.Group) { g.Projects[0].Routes = []*syncv1.Route{{Paths: []string{"~later"}}} }, "routes[0]"},
		"an origin that cannot be read": {func(g *syncv1.Group) { g.Projects[0].Origins = &syncv1.OriginPolicy{Patterns: []string{"~~"}} }, "origin"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{})
			g := group("acme")
			g.Projects = []*syncv1.Project{{Name: "default", OwnsAll: true}}
			c.change(g)
			apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{g}, Keys: []*syncv1.Key{key("acme", 1)}, CaughtUp: true})
			reason := ""
			if list := s.Rejections(true); list != nil {
				reason = list.GetRecords()[0].GetReason()
			}
			if (reason == "") != (c.want == "") || !strings.Contains(reason, c.want) {
				t.Errorf("rejected because %q", reason)
			}
			match, ok := s.Find(digestOf(1))
			if !ok {
				t.Fatal("the key is unknown")
			}
			owns := match.Group.Projects[0].OwnsAll || len(match.Group.Projects[0].Routes) > 0
			isValue := strings.Contains(c.want, "value")
			if owns != (c.want == "" || c.want == "origin" || isValue) {
				t.Errorf("the project owns requests: %t", owns)
			}
			if match.Group.Limits.Metered || strings.HasPrefix(c.want, "state") && match.Group.State != decision.Suspended {
				t.Errorf("an unknown value allows more than others: %+v", match.Group)
			}
		})
	}
}

// TestReplacingHasNoGap sends a group repeatedly while readers look for a key that is always in it.
func TestReplacingHasNoGap(t *testing.T) {
	s := open(t, Config{})
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{key("acme", 1), key("acme", 2)}, CaughtUp: true})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if !knows(s, 1) {
						t.Error("a valid key was unknown")
						return
					}
				}
			}
		})
	}
	for range 300 {
		apply(t, s, &syncv1.Update{ReplacedGroups: []string{"tenants/acme"}, Groups: []*syncv1.Group{group("acme")}})
		apply(t, s, &syncv1.Update{Keys: []*syncv1.Key{key("acme", 1)}})
		apply(t, s, &syncv1.Update{CaughtUp: true})
	}
	close(done)
	readers.Wait()
	if knows(s, 2) {
		t.Error("a key that was not sent again is still there")
	}
}

func TestInterruptedCatchUpIsForgotten(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{key("acme", 1), key("acme", 2)}, CaughtUp: true})
	apply(t, s, &syncv1.Update{ReplacedGroups: []string{"tenants/acme"}, Keys: []*syncv1.Key{key("acme", 1)}})
	if _, err := s.Begin(); err != nil {
		t.Fatal(err)
	}
	apply(t, s, &syncv1.Update{CaughtUp: true})
	for _, s := range []*Store{s, open(t, s.config)} {
		if !knows(s, 1) || !knows(s, 2) {
			t.Error("a key was deleted that the new stream confirmed")
		}
	}
}

func TestRestart(t *testing.T) {
	config := Config{Dir: t.TempDir(), MaxStaleness: time.Minute, DenyStale: true}
	s := open(t, config)
	apply(t, s, &syncv1.Update{Revision: 1, Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{key("acme", 1), key("acme", 2)}})
	if restarted := open(t, config); restarted.Health(start) != decision.Unsynced {
		t.Error("half a catch-up is a snapshot")
	}
	apply(t, s, &syncv1.Update{Revision: 2, CaughtUp: true})
	s.Contact(start)
	apply(t, s, &syncv1.Update{Revision: 3, DeletedKeys: []string{"k1"}})
	if err := os.Chtimes(filepath.Join(config.Dir, journalName), start, start); err != nil {
		t.Fatal(err)
	}

	// Nothing is closed, as if the process was killed.
	restarted := open(t, config)
	if knows(restarted, 1) || !knows(restarted, 2) || restarted.Revision() != 3 {
		t.Error("the revocation was forgotten")
	}
	if !restarted.LastContact().Equal(start) || restarted.Health(start.Add(time.Minute+1e6)) != decision.TooStale {
		t.Errorf("last contact %v", restarted.LastContact())
	}
	info, err := os.Stat(filepath.Join(config.Dir, journalName))
	if err != nil || info.Mode().Perm() != filePerm {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// journalOf writes a journal of a few updates and returns its bytes.
func journalOf(t testing.TB) []byte {
	t.Helper()
	config := Config{Dir: t.TempDir()}
	s := open(t, config)
	apply(t, s, &syncv1.Update{Revision: 1, Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{key("acme", 1)}, CaughtUp: true})
	for n := 2; n < 5; n++ {
		apply(t, s, &syncv1.Update{Revision: uint64(n), Keys: []*syncv1.Key{key("acme", n)}})
	}
	data, err := os.ReadFile(filepath.Join(config.Dir, journalName))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func openBytes(t testing.TB, data []byte) *Store {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, journalName), data, filePerm); err != nil {
		t.Fatal(err)
	}
	return open(t, Config{Dir: dir})
}

func TestTornTailIsCutOff(t *testing.T) {
	data := journalOf(t)
	last := uint64(0)
	for end := len(journalMagic); end <= len(data); end++ {
		s := openBytes(t, data[:end])
		revision := s.Revision()
		if revision < last {
			t.Fatalf("cut at %d: revision %d after %d", end, revision, last)
		}
		last = revision
		for n := 1; n < 5; n++ {
			if knows(s, n) != (uint64(n) <= revision) {
				t.Fatalf("cut at %d: revision %d, key %d", end, revision, n)
			}
		}
		apply(t, s, &syncv1.Update{Revision: 9, Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{key("acme", 9)}})
		if again := open(t, s.config); !knows(again, 9) || again.Revision() != 9 {
			t.Fatalf("cut at %d: cannot continue", end)
		}
	}
	if last != 4 {
		t.Fatalf("the whole journal gives revision %d", last)
	}
	if s := openBytes(t, append(bytes.Clone(data), make([]byte, 4096)...)); s.Revision() != 4 {
		t.Error("a tail of zeros is not taken for a torn tail")
	}
}

func TestDamagedJournalIsSetAside(t *testing.T) {
	data := journalOf(t)
	for at := range data {
		damaged := bytes.Clone(data)
		damaged[at] ^= 0x10
		s := openBytes(t, damaged)
		if s.Synced() && s.Revision() < 3 {
			t.Fatalf("damage at %d: synced at revision %d", at, s.Revision())
		}
		if !s.Synced() {
			if _, err := os.Stat(filepath.Join(s.config.Dir, journalName+".damaged")); err != nil {
				t.Fatalf("damage at %d: %v", at, err)
			}
			found, _ := s.Allowing(origin.Origin{Scheme: "http", Host: "localhost"}, func(*decision.Group) bool { return true })
			if knows(s, 1) || found {
				t.Fatalf("damage at %d: part of it is used", at)
			}
		}
	}
}

// FuzzJournal opens a journal of any bytes: the store works afterwards, and knows nothing that no manager could have sent.
func FuzzJournal(f *testing.F) {
	data := journalOf(f)
	f.Add(data)
	f.Add(data[:len(data)-3])
	f.Add([]byte(journalMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := openBytes(t, data)
		apply(t, s, &syncv1.Update{Revision: 9, CaughtUp: true, Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{key("acme", 9)}})
		if again := open(t, s.config); !knows(again, 9) || !again.Synced() {
			t.Fatal("cannot continue")
		}
	})
}

func TestOutgrownJournalIsCompacted(t *testing.T) {
	config := Config{Dir: t.TempDir()}
	s := open(t, config)
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{group("acme")}, CaughtUp: true})
	for n := range 30000 {
		apply(t, s, &syncv1.Update{Revision: uint64(n), Keys: []*syncv1.Key{key("acme", n%100)}})
	}
	info, err := os.Stat(filepath.Join(config.Dir, journalName))
	if err != nil || info.Size() > minOutgrown+1<<17 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	restarted := open(t, config)
	if _, keys, _ := restarted.Size(); keys != 100 || !restarted.Synced() || restarted.Revision() != 29999 {
		t.Errorf("%d keys at revision %d", keys, restarted.Revision())
	}
	if left, _ := filepath.Glob(filepath.Join(config.Dir, "*")); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestFullVolumeNeverLeavesAnOldSnapshot(t *testing.T) {
	config := Config{Dir: t.TempDir()}
	s := open(t, config)
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{key("acme", 1)}, CaughtUp: true})
	blockWrites(t, s, config.Dir)
	apply(t, s, &syncv1.Update{DeletedKeys: []string{"k1"}})
	if knows(s, 1) {
		t.Error("not in force")
	}
	if restarted := open(t, Config{Dir: copyOf(t, config.Dir)}); restarted.Synced() {
		t.Error("a restart would begin from before the revocation")
	}
	unblockWrites(t, config.Dir)
	apply(t, s, &syncv1.Update{Keys: []*syncv1.Key{key("acme", 2)}})
	if restarted := open(t, config); !restarted.Synced() || knows(restarted, 1) || !knows(restarted, 2) {
		t.Error("it did not recover")
	}
}

// blockWrites makes the next append fail, and the compaction as well: the file of the journal is closed, and there is a
// directory where the new one would be written.
func blockWrites(t *testing.T, s *Store, dir string) {
	t.Helper()
	if err := s.journal.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, journalName+".new"), dirPerm); err != nil {
		t.Fatal(err)
	}
}

func unblockWrites(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, journalName+".new")); err != nil {
		t.Fatal(err)
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	target := t.TempDir()
	if data, err := os.ReadFile(filepath.Join(dir, journalName)); err == nil {
		if err := os.WriteFile(filepath.Join(target, journalName), data, filePerm); err != nil {
			t.Fatal(err)
		}
	}
	return target
}

// TestEmptyUpdateDoesNotBeginAStream: in the middle of a first catch-up, a piece of which may be empty, neither a
// compaction nor such a piece ends what was announced.
func TestEmptyUpdateDoesNotBeginAStream(t *testing.T) {
	for name, midway := range map[string]func(*Store) error{
		"a compaction":   func(s *Store) error { return s.compact() },
		"an empty piece": func(s *Store) error { return s.Apply(&syncv1.Update{}) },
	} {
		t.Run(name, func(t *testing.T) {
			config := Config{Dir: t.TempDir()}
			kept, err := Open(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range []func() error{
				func() error {
					return kept.Apply(&syncv1.Update{Groups: []*syncv1.Group{group("a")}, Keys: []*syncv1.Key{key("a", 0)}})
				},
				func() error { return kept.Apply(&syncv1.Update{ReplacedGroups: []string{"tenants/a"}}) },
				func() error { return midway(kept) },
				func() error { return kept.Apply(&syncv1.Update{CaughtUp: true}) },
			} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			restarted, err := Open(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			if knows(kept, 0) || knows(restarted, 0) {
				t.Errorf("a key that was not sent again is known: before %v, after a restart %v", knows(kept, 0), knows(restarted, 0))
			}
		})
	}
}

// TestRestartAtAnyMoment draws streams of updates, with compactions and restarts in between: a store that was restarted
// always knows the same as one that was not.
func TestRestartAtAnyMoment(t *testing.T) {
	parent, run := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		quiet, config := slog.New(slog.DiscardHandler), Config{Dir: filepath.Join(parent, strconv.Itoa(run))}
		reopen := func() *Store {
			s, err := Open(config, quiet, prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		memory, err := Open(Config{}, quiet, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		kept := reopen()
		names := []string{"a", "b"}
		both := func(update *syncv1.Update) {
			if memory.Apply(update) != nil || kept.Apply(proto.CloneOf(update)) != nil {
				t.Fatal("an update failed")
			}
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "group")
			n := rapid.IntRange(0, 5).Draw(t, "key")
			switch rapid.SampledFrom([]string{
				"group", "key", "delete", "drop", "announce", "caught up", "compact", "restart", "begin",
			}).Draw(t, "step") {
			case "group":
				both(&syncv1.Update{Groups: []*syncv1.Group{group(name)}})
			case "key":
				both(&syncv1.Update{Keys: []*syncv1.Key{key(name, n)}})
			case "delete":
				both(&syncv1.Update{DeletedKeys: []string{key(name, n).GetId()}})
			case "drop":
				both(&syncv1.Update{DeletedGroups: []string{"tenants/" + name}})
			case "announce":
				both(&syncv1.Update{ReplacedGroups: []string{"tenants/" + name}})
			case "caught up":
				both(&syncv1.Update{CaughtUp: true})
			case "compact":
				if err := kept.compact(); err != nil {
					t.Fatal(err)
				}
			case "restart":
				kept = reopen()
			case "begin":
				if _, err := memory.Begin(); err != nil {
					t.Fatal(err)
				}
				if _, err := kept.Begin(); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := fmt.Sprint(kept.known()), fmt.Sprint(memory.known()); got != want || kept.Synced() != memory.Synced() {
				t.Fatalf("known %s, want %s", got, want)
			}
			for n := range 6 {
				if knows(kept, n) != knows(memory, n) {
					t.Fatalf("key %d", n)
				}
			}
		}
	})
}

func TestUnwritableDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, filePerm); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: path}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil ||
		!strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}
