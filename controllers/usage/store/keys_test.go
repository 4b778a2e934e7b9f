package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// scan is a cache that finds all objects where an index finds some.
type scan struct{ client.Reader }

func (s scan) List(ctx context.Context, list client.ObjectList, _ ...client.ListOption) error {
	return s.Reader.List(ctx, list)
}

// ofKeys is a store that takes each ledger for that of a key of the group, which it makes.
type ofKeys struct {
	store.Store

	owner func(group string) string
}

func (s ofKeys) Load(ctx context.Context, key store.Key) (store.Entry, error) {
	key.Owner = s.owner(key.Group)
	return s.Store.Load(ctx, key)
}

func (s ofKeys) Save(ctx context.Context, key store.Key, entry store.Entry, totals store.Totals) (string, error) {
	key.Owner = s.owner(key.Group)
	return s.Store.Save(ctx, key, entry, totals)
}

// createKey makes an ApiKey of a Group of the namespace default, as the manager leaves it.
func createKey(t *testing.T, admin client.Client, name, group string) *v1alpha1.ApiKey {
	t.Helper()
	key := &v1alpha1.ApiKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       v1alpha1.ApiKeySpec{GroupRef: v1alpha1.GroupReference{Name: group}, Projects: []v1alpha1.ProjectName{"default"}},
	}
	if err := admin.Create(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	before := key.DeepCopy()
	key.Status.KeyID = publish.KeyID(key.UID)
	if err := admin.Status().Patch(t.Context(), key, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	return key
}

// TestKeysInObjects: a KeyUsage keeps what every store keeps of a ledger, says whose it is, and is made again if somebody deletes it.
func TestKeysInObjects(t *testing.T) {
	admin := startAPI(t)
	s := objects(admin)
	s.Groups = scan{admin}
	owners, groups := map[string]string{}, 0
	keyed := ofKeys{s, func(group string) string { return owners[group] }}
	group := func() string {
		groups++
		name := fmt.Sprintf("group-%d", groups)
		if err := admin.Create(t.Context(), &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}); err != nil {
			t.Fatal(err)
		}
		owners["default/"+name] = createKey(t, admin, name, name).Status.KeyID
		return "default/" + name
	}
	t.Run("round trip", func(t *testing.T) { roundTrip(t, keyed, group) })
	t.Run("one writer wins", func(t *testing.T) { oneWins(t, keyed, group()) })
	t.Run("months", func(t *testing.T) { months(t, keyed, group()) })

	key := store.Key{Group: group(), Period: this}
	key.Owner = owners[key.Group]
	entry := load(t, s, key)
	entry.Ledger.Servers["a"] = quotaledger.Counters{Requests: 7, Spent: 7, Leased: 9, Sequence: 1}
	save := func(key store.Key) {
		t.Helper()
		var err error
		if entry.Version, err = s.Save(t.Context(), key, entry, store.Totals{}); err != nil {
			t.Fatal(err)
		}
	}
	save(key)
	read := func() (usage v1alpha1.KeyUsage, err error) {
		return usage, admin.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: key.Owner}, &usage)
	}
	usage, err := read()
	if name := strings.TrimPrefix(key.Group, "default/"); err != nil || usage.Spec.Group != name || len(usage.OwnerReferences) != 1 ||
		usage.OwnerReferences[0].Kind != "Group" || usage.OwnerReferences[0].Name != name ||
		usage.Spec.APIKey != (v1alpha1.KeyUsageOwner{Namespace: "default", Name: name}) {
		t.Errorf("%v; it is %+v", err, usage)
	}
	var ofGroup v1alpha1.GroupUsage
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: usage.Spec.Group}, &ofGroup); !apierrors.IsNotFound(err) {
		t.Errorf("the GroupUsage is %+v, %v", ofGroup, err)
	}

	t.Run("deleted by somebody", func(t *testing.T) {
		if err := admin.Delete(t.Context(), &usage); err != nil {
			t.Fatal(err)
		}
		save(key)
		if got := load(t, s, key); got.Ledger.Total().Spent != 7 || got.Version != entry.Version {
			t.Errorf("it is %+v", got)
		}
	})
	t.Run("moved to another store", func(t *testing.T) {
		begun, err := s.Recover(t.Context(), key)
		if err != nil || begun.Committed() != 7 {
			t.Errorf("it begins with %+v, %v", begun, err)
		}
	})
	t.Run("collected", func(t *testing.T) {
		collect := func() (is bool) {
			err := s.EachKey(t.Context(), []string{"default"}, func(usage *v1alpha1.KeyUsage) {
				if err := s.Collect(t.Context(), usage); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Error(err)
			}
			_, err = read()
			return err == nil
		}
		if !collect() {
			t.Error("it is deleted while there is its ApiKey")
		}
		name := strings.TrimPrefix(key.Group, "default/")
		if err := admin.Delete(t.Context(), &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}); err != nil {
			t.Fatal(err)
		}
		createKey(t, admin, name, name) // another one
		if collect() {
			t.Error("it is kept after its ApiKey")
		}
		if _, err := s.Save(t.Context(), key, entry, store.Totals{}); !errors.Is(err, store.ErrNoKey) {
			t.Errorf("what is left in memory is saved: %v", err)
		}
	})
}

// TestKeysInRedis: the ledgers of a Group and of its keys are separate, and a ledger of a key begins with what its KeyUsage shows.
func TestKeysInRedis(t *testing.T) {
	s, group := openRedis(t)
	keyed := ofKeys{s, func(string) string { return "k1" }}
	t.Run("round trip", func(t *testing.T) { roundTrip(t, keyed, group) })
	t.Run("one writer wins", func(t *testing.T) { oneWins(t, keyed, group()) })
	ofGroup := store.Key{Group: group(), Period: this}
	ofKey, other := ofGroup, ofGroup
	ofKey.Owner, other.Owner = "k1", "k2"
	for i, key := range []store.Key{ofGroup, ofKey, other} {
		entry := load(t, s, key)
		entry.Ledger.Servers["a"] = quotaledger.Counters{Requests: uint64(i + 1)}
		if _, err := s.Save(t.Context(), key, entry, store.Totals{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, key := range []store.Key{ofGroup, ofKey, other} {
		if got := load(t, s, key).Ledger.Total().Requests; got != uint64(i+1) {
			t.Errorf("%+v has %d", key, got)
		}
	}
}

// TestKeysAreNotPublished: what is recorded of keys is not taken for the use of their Group.
func TestKeysAreNotPublished(t *testing.T) {
	s, group := openRedis(t)
	published := store.Publish(s, &store.Objects{}, 1)
	seen := map[string]uint64{}
	note := func(kind string) func(store.Key, store.Totals) {
		return func(_ store.Key, totals store.Totals) { seen[kind] += totals.Requests }
	}
	notified := &store.Notified{Store: published, Saved: note("group"), SavedKey: note("key")}
	key := store.Key{Group: group(), Owner: "k1", Period: this}
	if _, err := notified.Save(t.Context(), key, store.Entry{Ledger: &quotaledger.Ledger{}}, store.Totals{Requests: 3}); err != nil {
		t.Fatal(err)
	}
	if seen["group"] != 0 || seen["key"] != 3 || published.Waiting() != 0 {
		t.Errorf("told of %v, and %d are to be published", seen, published.Waiting())
	}
}
