package cluster

import (
	"cmp"
	"context"
	"math"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/web"
)

const (
	// orderedKeys is how many keys are looked at to put them into another order than that of their names, which the API server has. They are read
	// in parts, and no more than a page of them is kept.
	orderedKeys = 5000
	// byName is the order of the API server.
	byName = "name"
)

// rank is the place of a key in an order: one that is less comes first. Keys of one place follow in the order of their names.
type rank struct {
	At   int64  `json:"a"`
	Name string `json:"k"` // namespace/name
}

func (r rank) compare(other rank) int {
	return cmp.Or(cmp.Compare(r.At, other.At), cmp.Compare(r.Name, other.Name))
}

type orderOfKeys struct {
	name, label string
	at          func(*v1alpha1.ApiKey) int64
}

// orders are the orders of keys beside that of their names.
var orders = []orderOfKeys{
	{"expiry", "Expires soonest", func(k *v1alpha1.ApiKey) int64 { return seconds(k.Status.ExpiresAt, math.MaxInt64) }},
	{"used", "Used last", func(k *v1alpha1.ApiKey) int64 { return -seconds(k.Status.LastUsedAt, -math.MaxInt64) }},
	{"unused", "Unused longest", func(k *v1alpha1.ApiKey) int64 { return seconds(k.Status.LastUsedAt, 0) }},
	{"newest", "Newest", func(k *v1alpha1.ApiKey) int64 { return -k.CreationTimestamp.Unix() }},
}

// seconds returns an instant as seconds since 1970, and otherwise what stands for none.
func seconds(at *metav1.Time, none int64) int64 {
	if at == nil {
		return none
	}
	return at.Unix()
}

// orderNamed returns one of orders; nil for that of names, and for what is none of them.
func orderNamed(name string) *orderOfKeys {
	at := slices.IndexFunc(orders, func(o orderOfKeys) bool { return o.name == name })
	if at < 0 {
		return nil
	}
	return &orders[at]
}

// orderChoices are all orders, for the form.
func orderChoices(chosen string) page.Choices {
	choices := page.Choices{Of: []page.Choice{{Value: byName, Text: "Name", Chosen: chosen == byName}}}
	for _, order := range orders {
		choices.Of = append(choices.Of, page.Choice{Value: order.name, Text: order.label, Chosen: chosen == order.name})
	}
	return choices
}

// first keeps the first objects in an order of those that it is shown, and no others.
type first[T any] struct {
	most  int
	after *rank // those up to here belong to pages before
	kept  []ranked[T]
	more  bool // others follow
}

type ranked[T any] struct {
	rank

	of T
}

// add looks at one more.
func (f *first[T]) add(of T, at rank) {
	if f.after != nil && at.compare(*f.after) <= 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(f.kept, at, func(r ranked[T], at rank) int { return r.compare(at) })
	if i == f.most {
		f.more = true
		return
	}
	if len(f.kept) == f.most {
		f.kept, f.more = f.kept[:f.most-1], true
	}
	f.kept = slices.Insert(f.kept, i, ranked[T]{at, of})
}

// next is where the next page begins; nil if this is the last.
func (f *first[T]) next() *cursor {
	if !f.more {
		return nil
	}
	return &cursor{After: &f.kept[len(f.kept)-1].rank}
}

// keysInOrder returns a page of the keys of a Group in an order, as part does, and whether there were too many to look at all of them.
func (d *Desk) keysInOrder(ctx context.Context, group *v1alpha1.Group, order *orderOfKeys, search string, from cursor) (
	keys []v1alpha1.ApiKey, next *cursor, some bool, only string, err error) {
	if from != (cursor{After: from.After}) {
		return nil, nil, false, "", web.ErrNotFound
	}
	earliest := &first[v1alpha1.ApiKey]{most: pageSize, after: from.After}
	all := keysOf(place.Group{Namespace: group.Namespace, Name: group.Name})
	all.rows, all.atOnce, all.lookups = orderedKeys, manyAtOnce, orderedKeys/manyAtOnce
	ofGroup := all.keep
	all.keep = func(key *v1alpha1.ApiKey) bool { // the list keeps none of them
		if ofGroup(key) && matches(key.Name, search) {
			earliest.add(*key, rank{order.at(key), key.Namespace + "/" + key.Name})
		}
		return false
	}
	_, rest, only, err := d.part(ctx, group, all, cursor{})
	if err != nil {
		return nil, nil, false, "", err
	}
	for _, one := range earliest.kept {
		keys = append(keys, one.of)
	}
	return keys, earliest.next(), rest != nil, only, nil
}
