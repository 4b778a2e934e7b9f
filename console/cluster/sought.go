package cluster

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
)

// sought is what a search for objects of several namespaces means: a part of a name, or that in one namespace, as in acme/ or acme/shop.
type sought struct {
	namespace, name string
	named           bool // the namespace is
}

// notNamespace is what is said of a search whose part before the slash is no name.
const notNamespace = "Write the name of a namespace before the slash."

func parseSought(search string) (s sought, good bool) {
	namespace, name, named := strings.Cut(strings.TrimSpace(search), "/")
	if !named {
		return sought{namespace: everywhere, name: namespace}, true
	}
	return sought{namespace: namespace, name: name, named: true}, len(validation.IsDNS1123Label(namespace)) == 0
}

// seek returns a page of what is sought. Who may list the kind in the whole cluster sees all. Of others, the API server does not say in which
// namespaces they may list it: they see the configured ones, unless they name one, and that is limited.
func seek[T any](ctx context.Context, d *Desk, of *listing[T], what sought, from cursor) (found []T, next *cursor, limited bool, err error) {
	of.in, of.skips = []string{what.namespace}, what.named
	limited = !what.named && from.Namespace != everywhere
	if limited {
		of.in, of.skips = d.namespaces, true
	}
	found, next, err = gather(ctx, d, of, from)
	if !what.named && from == (cursor{}) && apierrors.IsForbidden(err) {
		of.in, of.skips, limited = d.namespaces, true, true
		found, next, err = gather(ctx, d, of, cursor{})
	}
	return found, next, limited, err
}
