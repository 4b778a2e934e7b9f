package hostile

import (
	"fmt"
	"math/rand/v2"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Known is the data of a validation server: Groups of one kind, and a good Group with a key.
type Known struct {
	Kind Kind
	Good string // the text of the key of the good Group

	digest keyformat.Digest
}

// GoodHost is the host of the good Group, and GoodPath a path of it.
const (
	GoodHost = "cdn.good.example"
	GoodPath = "/content/1"
)

// NewKnown mints the key of the good Group.
func NewKnown(kind Kind) (*Known, error) {
	key, err := keyformat.Mint("kw", rand.NewChaCha8([32]byte{1}))
	if err != nil {
		return nil, err
	}
	return &Known{Kind: kind, Good: key.Reveal(), digest: key.Digest()}, nil
}

// Send sends all of it, as the updates of a catch-up.
func (k *Known) Send(send func(*syncv1.Update) error) error {
	good := &syncv1.Group{Namespace: "tenants", Name: "good", State: syncv1.GroupState_GROUP_STATE_ACTIVE, Projects: []*syncv1.Project{{
		Name: "content", Routes: []*syncv1.Route{{Hosts: []string{GoodHost}, Paths: []string{"/content/*"}}},
		Origins: &syncv1.OriginPolicy{AllowMissing: true}}}}
	update := &syncv1.Update{ReplacedGroups: []string{"tenants/good"}, Groups: []*syncv1.Group{good}}
	for i := range Many {
		update.ReplacedGroups = append(update.ReplacedGroups, fmt.Sprint("hostile/group-", i))
	}
	for i := range Many {
		update.Groups = append(update.Groups, k.Kind.Group(i))
		const perUpdate = 8
		if len(update.Groups) < perUpdate {
			continue
		}
		if err := send(update); err != nil {
			return err
		}
		update = &syncv1.Update{}
	}
	update.Keys = []*syncv1.Key{{Id: "good", Group: "tenants/good", Projects: []string{"content"},
		Permissions: []string{"read"}, Versions: []*syncv1.Version{{Digest: k.digest[:]}}}}
	update.Revision, update.CaughtUp = 1, true
	return send(update)
}
