package v1alpha1

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

// requestStamp annotates KeyRequests with the user who created them, and how.
type requestStamp struct{}

// Handle implements admission.Handler.
func (requestStamp) Handle(ctx context.Context, request admission.Request) admission.Response {
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(request.Object.Raw, &object.Object); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	var warnings admission.Warnings
	if request.Operation == admissionv1.Update {
		old := &unstructured.Unstructured{}
		if err := json.Unmarshal(request.OldObject.Raw, &old.Object); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		for _, name := range []string{v1alpha1.AnnotationCreatedBy, v1alpha1.AnnotationCreatedVia} {
			warnings = append(warnings, keepStamp(old, object, name, old.GetAnnotations()[name])...)
		}
	} else {
		annotate(object, v1alpha1.AnnotationCreatedBy, request.UserInfo.Username)
		annotate(object, v1alpha1.AnnotationCreatedVia, via(request))
	}
	stamped, err := json.Marshal(object.Object)
	if err != nil {
		return undecided(ctx, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, stamped).WithWarnings(warnings...)
}

// keyRequests decides about KeyRequests.
type keyRequests struct {
	reader client.Reader
	clock  clock.PassiveClock
}

// ValidateCreate refuses a request beyond the bounds, and warns of what would keep it from being approved. What it says of a Group that
// does not exist is what it says of one that accepts no requests from the namespace.
func (w *keyRequests) ValidateCreate(ctx context.Context, request *v1alpha1.KeyRequest) (admission.Warnings, error) {
	var problems grant.Problems
	if lifetime := request.Spec.Lifetime; lifetime != "" {
		if parsed, err := grant.ParseDuration(lifetime); err != nil || parsed < time.Second {
			problems = append(problems, &grant.Problem{
				Reason: v1alpha1.ReasonInvalidSpec, Field: "spec.lifetime", Value: string(lifetime),
				Message: "a key lives at least 1s; write a duration such as 90d",
			})
		}
	}
	group, err := cache.Group(ctx, w.reader, cache.GroupName(request.Spec.GroupRef, request.Namespace), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, err
	}
	labels, err := cache.NamespaceLabels(ctx, w.reader, request.Namespace)
	if err != nil {
		return nil, err
	}
	if !keyrequest.Accepts(group, request, labels) {
		group = nil
	}
	youngest := *request
	youngest.UID = "" // all others are older
	beyond, err := cache.RequestIsBeyond(ctx, w.reader, &youngest, group, w.clock.Now())
	if err != nil {
		return nil, err
	}
	if beyond {
		problems = append(problems, &grant.Problem{Reason: v1alpha1.ReasonTooManyRequests, Field: "spec", Message: keyrequest.TooMany})
	}
	if err := refuse(ctx, "KeyRequest", request.Name, problems); err != nil {
		return nil, err
	}
	if group == nil {
		return admission.Warnings{keyrequest.NotAccepted(request)}, nil
	}
	if problem := keyrequest.Problem(keyrequest.NewReview(request, group), group, labels, w.clock.Now()); problem != nil {
		return admission.Warnings{problem.Error()}, nil
	}
	return nil, nil
}

// ValidateUpdate accepts everything: the schema keeps the spec.
func (w *keyRequests) ValidateUpdate(context.Context, *v1alpha1.KeyRequest, *v1alpha1.KeyRequest) (admission.Warnings, error) {
	return nil, nil
}

// ValidateDelete accepts everything.
func (w *keyRequests) ValidateDelete(context.Context, *v1alpha1.KeyRequest) (admission.Warnings, error) {
	return nil, nil
}
