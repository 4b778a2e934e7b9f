package view

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/grant"
)

// Issue is what became of a request, as far as the person may see it.
type Issue struct {
	// Group is that which a key is asked of, and Key the ApiKey that was created; nil: there is none, or the person may not see it.
	Group *v1alpha1.Group
	Key   *v1alpha1.ApiKey
	Now   time.Time
	// Deletes reports whether the person may delete the request.
	Deletes bool
}

// OwnRequestRow is a row of the list of requests where their keys are to be.
func OwnRequestRow(request *v1alpha1.KeyRequest) page.Request {
	row := ownRequest(request)
	row.Projects, row.Permissions = first(shownNames, request.Spec.Projects), first(shownNames, permissionsAsked(request.Spec.Permissions))
	row.UseCase = brief(row.UseCase, shownUseCase)
	return row
}

func ownRequest(request *v1alpha1.KeyRequest) page.Request {
	spec := &request.Spec
	return page.Request{
		Name: request.Name, Href: requestPlace(request).Of(), Group: page.Link{Text: GroupAsked(request).String()}, Namespace: request.Namespace,
		By: orElse(brief(request.Annotations[v1alpha1.AnnotationCreatedBy], shownName), "not recorded"), Projects: join(spec.Projects),
		Permissions: join(permissionsAsked(spec.Permissions)), UseCase: spec.UseCase, Lifetime: orElse(string(spec.Lifetime), "default of the Group"),
		State: ownState(request), At: request.CreationTimestamp.Time,
	}
}

// shownName is how many characters of who asks are shown: annotations of a cluster without admission have any size.
const shownName = 1024

func requestPlace(request *v1alpha1.KeyRequest) place.Request {
	return place.Request{Namespace: request.Namespace, Name: request.Name}
}

// GroupAsked returns the Group that a key is asked of.
func GroupAsked(request *v1alpha1.KeyRequest) place.Group {
	namespace, name := grant.GroupKey(request.Spec.GroupRef, request.Namespace)
	return place.Group{Namespace: namespace, Name: name}
}

// OwnRequest is the page of a request where its key is to be.
func OwnRequest(request *v1alpha1.KeyRequest, known Issue) page.OwnRequest {
	detail := page.OwnRequest{
		Request: ownRequest(request), Problem: requestProblem(request), Managed: Managed(request), Back: place.RequestsIn(request.Namespace),
	}
	if known.Group != nil {
		detail.Group.Href = GroupAsked(request).Of()
	}
	if known.Deletes && request.DeletionTimestamp == nil {
		detail.Delete = requestPlace(request).Of("delete")
	}
	for _, one := range request.Status.Decided {
		detail.Decided = append(detail.Decided, whoDecided(one))
	}
	slices.SortStableFunc(detail.Decided, byTime)
	detail.Key, detail.Mount = issued(request, known)
	if detail.Key.Text != "" && known.Key != nil {
		detail.KeyNow = (&Sight{Now: known.Now}).keyState(known.Key)
	}
	return detail
}

// issued is the key that came of a request, and where it is mounted from. For who may see the request and not the ApiKey, it is where the manager
// delivers it: its Secret has its name.
func issued(request *v1alpha1.KeyRequest, known Issue) (page.Link, page.Mount) {
	key := request.Status.Key
	if key == nil || !meta.IsStatusConditionTrue(request.Status.Conditions, v1alpha1.ConditionReady) {
		return page.Link{}, page.Mount{}
	}
	if known.Key == nil {
		return page.Link{Text: key.Name}, page.Mount{Namespace: request.Namespace, Secret: key.Name, Item: v1alpha1.SecretKeyAPIKey, Address: anywhere, Unseen: true}
	}
	group, link := known.Group, page.Link{Text: key.Name}
	if group != nil {
		link.Href = place.Key{Group: GroupAsked(request), Namespace: request.Namespace, Name: key.Name}.Of()
	} else {
		group = &v1alpha1.Group{}
	}
	return link, (&Sight{}).mount(group, known.Key)
}

// requestProblem is what keeps a request from its key; empty if nothing does, or what was decided says so.
func requestProblem(request *v1alpha1.KeyRequest) string {
	ready := meta.FindStatusCondition(request.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case request.DeletionTimestamp != nil:
		return "The request is being deleted."
	case ready == nil:
		return "The manager has not looked at the request yet. Load the page again."
	case ready.Status == metav1.ConditionTrue, request.Status.State.Final() && len(request.Status.Decided) > 0:
		return ""
	}
	return sentence(brief(ready.Message, maxProblem))
}

// maxProblem is how many characters of a message are shown.
const maxProblem = 1000

// ownState is the state of a request in a word.
func ownState(request *v1alpha1.KeyRequest) page.State {
	state := request.Status.State
	switch state {
	case v1alpha1.KeyRequestIssued:
		if !meta.IsStatusConditionTrue(request.Status.Conditions, v1alpha1.ConditionReady) {
			return page.State{Text: string(state), Tone: page.Off}
		}
		return page.State{Text: string(state), Tone: page.Good}
	case v1alpha1.KeyRequestRefused, v1alpha1.KeyRequestWithdrawn, v1alpha1.KeyRequestExpired:
		return page.State{Text: string(state), Tone: page.Off}
	case v1alpha1.KeyRequestPending, v1alpha1.KeyRequestApproved:
	}
	return page.State{Text: orElse(string(state), string(v1alpha1.KeyRequestPending)), Tone: page.Warn}
}

// DeleteRequest asks before a request is deleted, and its key with it.
func DeleteRequest(request *v1alpha1.KeyRequest) page.DeleteRequest {
	at := requestPlace(request)
	asks := page.DeleteRequest{Name: request.Name, Action: at.Of("delete"), Back: at.Of(), Managed: Managed(request)}
	ready := meta.FindStatusCondition(request.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready != nil && ready.Reason == v1alpha1.ReasonKeyDeleted: // another ApiKey may have its name
	case request.Status.Key != nil:
		asks.Key = request.Status.Key.Name
	case request.Status.State == v1alpha1.KeyRequestApproved: // its key may be there, and is not in the status yet
		asks.Key, asks.Soon = request.Name, true
	}
	return asks
}

// RequestYAML is a KeyRequest as it is applied, to be committed to Git.
func RequestYAML(request *v1alpha1.KeyRequest) (string, error) {
	return manifest("KeyRequest", request, request.Spec)
}
