package v1alpha1

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// stamp annotates new ApiKeys with the user who creates them, and adds the finalizer from the
// start, which saves the controller a write.
//
// It decodes metadata only. A typed Defaulter would have to decode the spec, and so would
// refuse a number in place of a text with a message of Go's decoder; the schema, which is checked later,
// has better messages.
type stamp struct{}

// Handle implements admission.Handler.
func (stamp) Handle(_ context.Context, request admission.Request) admission.Response {
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(request.Object.Raw, &object.Object); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	switch request.Operation {
	case admissionv1.Create:
		// The object may be a copy, from a backup, or invented: the annotation is what the creator claims.
		earlier := object.GetAnnotations()[v1alpha1.AnnotationCreatedBy]
		if !isName(earlier) {
			earlier = ""
		}
		annotateOrRemove(object, v1alpha1.AnnotationRestored, earlier)
		annotate(object, v1alpha1.AnnotationCreatedBy, request.UserInfo.Username)
		controllerutil.AddFinalizer(object, v1alpha1.FinalizerEnforcement)
	case admissionv1.Update:
		// A manifest that replaces the object does not have the annotation.
		old := &metav1.PartialObjectMetadata{}
		if err := json.Unmarshal(request.OldObject.Raw, old); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		creator, stamped := old.Annotations[v1alpha1.AnnotationCreatedBy]
		if _, has := object.GetAnnotations()[v1alpha1.AnnotationCreatedBy]; stamped && !has {
			annotate(object, v1alpha1.AnnotationCreatedBy, creator)
		}
		annotateOrRemove(object, v1alpha1.AnnotationRestored, old.Annotations[v1alpha1.AnnotationRestored])
	case admissionv1.Delete, admissionv1.Connect:
	}
	stamped, err := json.Marshal(object.Object)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, stamped)
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
