package v1alpha1

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// stamp annotates objects with the user who created them or changed them last. Where a request has another value, or none,
// the true one is put back with a warning and the request goes on: manifests that were exported have the stamps of another
// cluster or of another time, and must be applicable any number of times.
//
// It decodes objects without their types. A typed Defaulter would refuse a number in place of a text with a message of
// Go's decoder; the schema, which is checked later, has better messages.
type stamp struct {
	// apiKey is set for ApiKeys. These also have the finalizer from the start, which saves the controller a write, and stay
	// revoked.
	apiKey bool
	// kind is that of the objects.
	kind  string
	clock clock.PassiveClock
	self  *self
}

// Handle implements admission.Handler.
func (s stamp) Handle(ctx context.Context, request admission.Request) admission.Response {
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(request.Object.Raw, &object.Object); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	var warnings admission.Warnings
	switch request.Operation {
	case admissionv1.Create:
		annotateOrRemove(object, v1alpha1.AnnotationDeletedBy, "")
		s.create(object, request.UserInfo.Username)
		if err := s.recordChange(request, nil, object); err != nil {
			return undecided(ctx, err)
		}
	case admissionv1.Update:
		old := &unstructured.Unstructured{}
		if err := json.Unmarshal(request.OldObject.Raw, &old.Object); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		warnings = s.update(old, object, request.UserInfo.Username)
		if err := s.keepDeletion(ctx, request, old, object); err != nil {
			return undecided(ctx, err)
		}
		if err := s.recordChange(request, old, object); err != nil {
			return undecided(ctx, err)
		}
	case admissionv1.Delete, admissionv1.Connect:
	}
	stamped, err := json.Marshal(object.Object)
	if err != nil {
		return undecided(ctx, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, stamped).WithWarnings(warnings...)
}

func (s stamp) create(object *unstructured.Unstructured, user string) {
	if s.apiKey {
		// The object may be a copy, from a backup, or invented: the annotation is what the creator claims.
		earlier := object.GetAnnotations()[v1alpha1.AnnotationCreatedBy]
		if !isName(earlier) {
			earlier = ""
		}
		annotateOrRemove(object, v1alpha1.AnnotationRestored, earlier)
		annotate(object, v1alpha1.AnnotationCreatedBy, user)
		controllerutil.AddFinalizer(object, v1alpha1.FinalizerEnforcement)
	}
	annotate(object, v1alpha1.AnnotationChangedBy, user)
}

// update puts back what a request may not change, and returns a warning for everything that it tried to.
func (s stamp) update(old, object *unstructured.Unstructured, user string) (warnings admission.Warnings) {
	if s.apiKey {
		if keepRevoked(old, object) {
			warnings = append(warnings, "spec.revoked: the key is revoked for good, and stays so; write true, or leave the field out, and "+
				"create a new ApiKey where a key is needed")
		}
		for _, name := range []string{v1alpha1.AnnotationCreatedBy, v1alpha1.AnnotationRestored} {
			warnings = append(warnings, keepStamp(old, object, name, old.GetAnnotations()[name])...)
		}
	}
	changer := old.GetAnnotations()[v1alpha1.AnnotationChangedBy]
	if isChanged(old, object) {
		changer = user
	}
	return append(warnings, keepStamp(old, object, v1alpha1.AnnotationChangedBy, changer)...)
}

// requests are the annotations by which users ask for something.
var requests = []string{v1alpha1.AnnotationRotateRequestedAt, v1alpha1.AnnotationPreventDeletion}

// isChanged reports whether a request changes what is declared: the spec, that a rotation is requested, or that the object is
// guarded.
func isChanged(old, object *unstructured.Unstructured) bool {
	return !equality.Semantic.DeepEqual(old.Object["spec"], object.Object["spec"]) ||
		slices.ContainsFunc(requests, func(name string) bool { return old.GetAnnotations()[name] != object.GetAnnotations()[name] })
}

// keepRevoked keeps a revoked key revoked, and reports whether the request asks for something else. A manifest that was
// written before the revocation must stay applicable: a tool that applies a directory would stop at it.
func keepRevoked(old, object *unstructured.Unstructured) bool {
	if revoked, _, err := unstructured.NestedBool(old.Object, "spec", "revoked"); err != nil || !revoked {
		return false
	}
	if revoked, _, err := unstructured.NestedBool(object.Object, "spec", "revoked"); err != nil || revoked {
		return false // of another type: the schema refuses it
	}
	return unstructured.SetNestedField(object.Object, true, "spec", "revoked") == nil
}

// keepStamp sets a stamp to its value, and warns where the request has one that is neither this nor the earlier one.
func keepStamp(old, object *unstructured.Unstructured, name, value string) admission.Warnings {
	given, has := object.GetAnnotations()[name]
	annotateOrRemove(object, name, value)
	if !has || given == value || given == old.GetAnnotations()[name] {
		return nil
	}
	return admission.Warnings{fmt.Sprintf("metadata.annotations[%s]: only admission sets it, and it is not what the manifest says; "+
		"remove it from the manifest", name)}
}

func annotate(object *unstructured.Unstructured, name, value string) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[name] = value
	object.SetAnnotations(annotations)
}

// annotateOrRemove sets the annotation, or removes it where it has no value. It adds no annotations to an object
// that has none.
func annotateOrRemove(object *unstructured.Unstructured, name, value string) {
	if value != "" {
		annotate(object, name, value)
		return
	}
	annotations := object.GetAnnotations()
	if _, has := annotations[name]; has {
		delete(annotations, name)
		object.SetAnnotations(annotations)
	}
}

// maxName is longer than the user names of any authenticator.
const maxName = 1024

// isName reports whether a text can be the name of a user that people can read.
func isName(text string) bool {
	return text != "" && len(text) <= maxName && utf8.ValidString(text) &&
		strings.IndexFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0
}
