package cluster

import (
	"context"
	"errors"
	"maps"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
)

// NewRequest implements web.Desk. What may be chosen is known of a Group that the person may read; of others it is written.
func (d *Desk) NewRequest(ctx context.Context, entered web.EnteredRequest, sent bool) (page.Ask, error) {
	of := (*view.EnteredRequest)(&entered)
	if !sent {
		if err := d.mayAsk(ctx, entered.Namespace); err != nil {
			return page.Ask{}, err
		}
	}
	group, err := d.groupAsked(ctx, view.GroupNamed(entered.Group, entered.Namespace))
	if err != nil {
		return page.Ask{}, err
	}
	if !sent {
		of.Defaults(group)
		return view.NewRequest(group, of, nil), nil
	}
	_, problems := view.AskFor(group, of)
	return view.NewRequest(group, of, problems), nil
}

// AskYAML implements web.Desk.
func (d *Desk) AskYAML(ctx context.Context, entered web.EnteredRequest) (page.Ask, error) {
	of := (*view.EnteredRequest)(&entered)
	if err := d.mayAsk(ctx, entered.Namespace); err != nil {
		return page.Ask{}, err
	}
	group, err := d.groupAsked(ctx, view.GroupNamed(entered.Group, entered.Namespace))
	if err != nil {
		return page.Ask{}, err
	}
	request, problems := view.AskFor(group, of)
	maps.DeleteFunc(problems, func(field, _ string) bool { return of.IsEmpty(field) }) // it can be filled in afterwards
	if len(problems) > 0 {
		return page.Ask{}, &web.InvalidError{Fields: problems}
	}
	form := view.NewRequest(group, of, nil)
	form.YAML, err = view.RequestYAML(request)
	return form, err
}

// CreateRequest implements web.Desk. Who may create them is for the API server to say, in the end.
func (d *Desk) CreateRequest(ctx context.Context, entered web.EnteredRequest) (place.Request, error) {
	if err := d.mayAsk(ctx, entered.Namespace); err != nil {
		return place.Request{}, err
	}
	group, err := d.groupAsked(ctx, view.GroupNamed(entered.Group, entered.Namespace))
	if err != nil {
		return place.Request{}, err
	}
	request, problems := view.AskFor(group, (*view.EnteredRequest)(&entered))
	if len(problems) > 0 {
		return place.Request{}, &web.InvalidError{Fields: problems}
	}
	err = d.client.Create(ctx, request, fieldOwner)
	if apierrors.IsNotFound(err) {
		return place.Request{}, invalid("namespace", "There is no such namespace.")
	}
	return place.Request{Namespace: request.Namespace, Name: request.Name}, changing(err)
}

// groupAsked reads a Group that a key is asked of; nil if the person may not see it, or it does not exist.
func (d *Desk) groupAsked(ctx context.Context, of place.Group) (*v1alpha1.Group, error) {
	group, err := d.group(ctx, of)
	if isMissing(err) {
		return nil, nil
	}
	return group, err
}

// mayAsk returns an error that says that the person may not create KeyRequests in a namespace; nil if none is named yet.
func (d *Desk) mayAsk(ctx context.Context, namespace string) error {
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		return nil
	}
	allowed, err := d.may(ctx, requestsIn(namespace, "create", ""), requestsIn(namespace, "get", ""))
	switch {
	case err != nil:
		return err
	case !allowed[0]:
		return forbidden("ask for keys in the namespace %s, which needs the right to create KeyRequests there", namespace)
	case !allowed[1]:
		return forbidden("ask for keys in the namespace %s, which needs the right to get KeyRequests there, too, to see what becomes of them", namespace)
	}
	return nil
}

// onRequests reports whether the person may do something with KeyRequests in a namespace. It is asked for, and not taken from a role: one may be given
// this right alone, and without one to read a Group.
func (d *Desk) onRequests(ctx context.Context, verb, namespace, name string) (bool, error) {
	allowed, err := d.may(ctx, requestsIn(namespace, verb, name))
	return err == nil && allowed[0], err
}

// requestsIn is what is to be done with KeyRequests in a namespace, or with one of them.
func requestsIn(namespace, verb, name string) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{
		Group: v1alpha1.GroupVersion.Group, Resource: "keyrequests", Verb: verb, Namespace: namespace, Name: name,
	}
}

// OwnRequests implements web.Desk, as Groups is.
func (d *Desk) OwnRequests(ctx context.Context, query web.ListQuery) (page.OwnRequests, error) {
	shown := page.OwnRequests{Search: page.Input{Value: query.Search}, Action: place.Requests}
	from, err := parseCursor(query.After)
	if err != nil {
		return page.OwnRequests{}, err
	}
	what, good := parseSought(query.Search)
	if !good {
		shown.Search.Error = notNamespace
		return shown, nil
	}
	if what.named && what.name == "" {
		shown.Within = what.namespace
	}
	of := &listing[v1alpha1.KeyRequest]{
		into: func() client.ObjectList { return &v1alpha1.KeyRequestList{} },
		item: items(func(list *v1alpha1.KeyRequestList) []v1alpha1.KeyRequest { return list.Items }),
		keep: func(request *v1alpha1.KeyRequest) bool { return matches(request.Name, what.name) },
	}
	found, next, limited, err := seek(ctx, d, of, what, from)
	if err != nil {
		return page.OwnRequests{}, reading(err)
	}
	shown.Named, shown.Next = limited, pathOf(place.Requests, query, next)
	for i := range found {
		shown.Requests = append(shown.Requests, view.OwnRequestRow(&found[i]))
	}
	// Who names no namespace here names it in the form.
	asks := true
	if what.named {
		asks, err = d.onRequests(ctx, "create", what.namespace, "")
	}
	if asks {
		shown.Ask = place.AskIn(what.namespace, place.Group{})
	}
	return shown, err
}

// OwnRequest implements web.Desk.
func (d *Desk) OwnRequest(ctx context.Context, of place.Request) (page.OwnRequest, error) {
	request, err := d.keyRequest(ctx, of)
	if err != nil {
		return page.OwnRequest{}, err
	}
	known := view.Issue{Now: d.now()}
	if known.Group, err = d.groupAsked(ctx, view.GroupAsked(request)); err != nil {
		return page.OwnRequest{}, err
	}
	if issued := request.Status.Key; issued != nil {
		key := &v1alpha1.ApiKey{}
		err := d.get(ctx, request.Namespace, issued.Name, key)
		if err != nil && !isMissing(err) {
			return page.OwnRequest{}, err
		}
		if err == nil && key.UID == issued.UID {
			known.Key = key
		}
	}
	known.Deletes, err = d.onRequests(ctx, "delete", of.Namespace, of.Name)
	return view.OwnRequest(request, known), err
}

func (d *Desk) keyRequest(ctx context.Context, of place.Request) (*v1alpha1.KeyRequest, error) {
	request := &v1alpha1.KeyRequest{}
	return request, d.get(ctx, of.Namespace, of.Name, request)
}

// Deletable implements web.Desk.
func (d *Desk) Deletable(ctx context.Context, of place.Request) (page.DeleteRequest, error) {
	request, err := d.deletable(ctx, of)
	if err != nil {
		return page.DeleteRequest{}, err
	}
	return view.DeleteRequest(request), nil
}

// deletable reads a request that the person may delete.
func (d *Desk) deletable(ctx context.Context, of place.Request) (*v1alpha1.KeyRequest, error) {
	request, err := d.keyRequest(ctx, of)
	if err != nil {
		return nil, err
	}
	deletes, err := d.onRequests(ctx, "delete", of.Namespace, of.Name)
	if err == nil && !deletes {
		err = forbidden("it needs the right to delete KeyRequests in the namespace %s", of.Namespace)
	}
	return request, err
}

// DeleteRequest implements web.Desk. It deletes the request as it was read: one that has got a key since is not deleted without the name of the key.
func (d *Desk) DeleteRequest(ctx context.Context, of place.Request, typed string) error {
	request, err := d.deletable(ctx, of)
	if err != nil {
		return err
	}
	if asks := view.DeleteRequest(request); asks.Key != "" && typed != asks.Key {
		return invalid("name", "This is not its name.")
	}
	err = changing(d.client.Delete(ctx, request, client.Preconditions{UID: ptr.To(request.UID), ResourceVersion: ptr.To(request.ResourceVersion)}))
	if errors.Is(err, web.ErrNotFound) { // somebody else has deleted it
		return nil
	}
	return err
}
