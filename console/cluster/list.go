package cluster

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/console/web"
)

const (
	// pageSize is how many rows a page has at most, and lookups how many requests are made to fill it: each for as many objects as the page has room
	// for. A list of which few objects are kept goes on with the next page.
	pageSize, lookups = 100, 10
	// manyRows and manyAtOnce are for pages that need many objects, and little of each.
	manyRows, manyAtOnce = 1000, 250
	// everywhere stands for the namespaces of the whole cluster.
	everywhere = ""
)

// cursor is where a list goes on.
type cursor struct {
	// Namespace is that which is listed.
	Namespace string `json:"n,omitempty"`
	// Continue is the API server's.
	Continue string `json:"c,omitempty"`
	// Decided reports whether requests are listed that were decided, which follow those that were not.
	Decided bool `json:"d,omitempty"`
	// After is the last one of the page before, of a list in an order that the API server does not have.
	After *rank `json:"r,omitempty"`
}

// String returns the cursor as it is in links; empty for the beginning.
func (c cursor) String() string {
	if c == (cursor{}) {
		return ""
	}
	text, _ := json.Marshal(c) // texts do not fail
	return base64.RawURLEncoding.EncodeToString(text)
}

// parseCursor reads a cursor from a link. One that nobody wrote is a page that does not exist.
func parseCursor(text string) (c cursor, err error) {
	if text == "" {
		return cursor{}, nil
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(decoded, &c) != nil {
		return cursor{}, web.ErrNotFound
	}
	return c, nil
}

// listing is a list of objects of one kind, in several namespaces one after the other.
type listing[T any] struct {
	in   []string
	into func() client.ObjectList
	item func(list client.ObjectList) []T
	keep func(*T) bool
	// rows is how many are kept at most, and atOnce how many are asked for at once; 0 is the size of a page.
	rows, atOnce int
	// lookups is how many requests are made; 0 is as for each page.
	lookups int
	// options are further ones of each request.
	options []client.ListOption
	// skips reports whether namespaces that the person may not list are left out.
	skips bool
}

var errScope = errors.New("not one of the namespaces")

// gather returns the objects of a page that are kept, from where the cursor says on, and where the next page begins; nil if there is none.
func gather[T any](ctx context.Context, d *Desk, of *listing[T], from cursor) (kept []T, next *cursor, err error) {
	scope, rows, atOnce := 0, cmp.Or(of.rows, pageSize), cmp.Or(of.atOnce, pageSize)
	if from != (cursor{}) {
		if scope = slices.Index(of.in, from.Namespace); scope < 0 {
			return nil, nil, errors.Join(web.ErrNotFound, errScope)
		}
	}
	at := from.Continue
	for range cmp.Or(of.lookups, lookups) {
		if scope == len(of.in) {
			return kept, nil, nil
		}
		if len(kept) == rows {
			break
		}
		list := of.into()
		err := d.list(ctx, list, of.in[scope], at, min(atOnce, rows-len(kept)), of.options...)
		switch {
		case apierrors.IsForbidden(err) && of.skips:
			list.SetContinue("")
		case err != nil:
			return nil, nil, err
		default:
			for _, item := range of.item(list) {
				if of.keep(&item) {
					kept = append(kept, item)
				}
			}
		}
		if at = list.GetContinue(); at == "" {
			scope++
		}
	}
	if scope == len(of.in) {
		return kept, nil, nil
	}
	return kept, &cursor{Namespace: of.in[scope], Continue: at}, nil
}

// list reads a part of a list, of at most so many objects: of fewer, if the answer would be too large. The API server forgets the state of a list after
// some minutes; then it goes on with what is there now. Where the API server does not know the fields of a selector yet, because its CRDs are older,
// all objects are read: whoever selects has to look at them in any case.
func (d *Desk) list(ctx context.Context, list client.ObjectList, namespace, from string, most int, selector ...client.ListOption) error {
	read := func(from string) error {
		options := append([]client.ListOption{client.InNamespace(namespace), client.Limit(int64(most)), client.Continue(from)}, selector...)
		return d.client.List(ctx, list, options...)
	}
	err := read(from)
	if apierrors.IsBadRequest(err) && len(selector) > 0 {
		selector = nil
		err = read(from)
	}
	for most > 1 && errors.Is(err, errTooLarge) {
		most /= 2
		err = read(from)
	}
	var status apierrors.APIStatus
	if from != "" && apierrors.IsResourceExpired(err) && errors.As(err, &status) {
		if again := status.Status().Continue; again != "" {
			return read(again)
		}
	}
	if from != "" && apierrors.IsBadRequest(err) { // the cursor of a link that was changed
		return errors.Join(web.ErrNotFound, err)
	}
	return err
}

// matches reports whether a name contains what is searched for.
func matches(name, search string) bool {
	return strings.Contains(name, strings.ToLower(strings.TrimSpace(search)))
}

// canMatch reports whether the name of an object can contain what is searched for. What cannot be found is not looked for.
func canMatch(search string) bool {
	search = strings.ToLower(strings.TrimSpace(search))
	return len(search) <= validation.DNS1123SubdomainMaxLength && !strings.ContainsFunc(search, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.'
	})
}

// pathOf returns the path of the next page; empty if there is none.
func pathOf(path string, of web.ListQuery, next *cursor) string {
	if next == nil {
		return ""
	}
	query := url.Values{"after": {next.String()}}
	if of.Search != "" {
		query.Set("search", of.Search)
	}
	if of.Order != "" {
		query.Set("order", of.Order)
	}
	return path + "?" + query.Encode()
}

// items returns the objects of a list.
func items[T any, L client.ObjectList](of func(L) []T) func(client.ObjectList) []T {
	return func(list client.ObjectList) []T {
		if meta.LenList(list) == 0 {
			return nil
		}
		return of(list.(L))
	}
}
