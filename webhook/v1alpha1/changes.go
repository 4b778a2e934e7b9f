package v1alpha1

import (
	"context"
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/specchange"
)

// recordChange stamps a change on the object, for the log of its Group: the change and the record of it are persisted in one step.
// What the request has in its place is dropped without a warning: it is in every manifest that was exported. For a new
// object, old is nil.
func (s stamp) recordChange(request admission.Request, old, object *unstructured.Unstructured) error {
	const name = v1alpha1.AnnotationChanges
	change := specchange.Change{
		Generation: 1, Spec: true, At: s.clock.Now().UTC().Truncate(time.Millisecond), User: request.UserInfo.Username,
		Groups: request.UserInfo.Groups, Via: via(request),
	}
	var before map[string]any
	annotations := map[string]string(nil)
	if old != nil {
		before, annotations = old.Object, old.GetAnnotations()
		change.Generation = generationOf(old)
		if change.Spec = !equality.Semantic.DeepEqual(old.Object["spec"], object.Object["spec"]); change.Spec {
			change.Generation++
		}
	}
	change.Fields = specchange.Diff(s.kind, before, object.Object)
	if old == nil && s.apiKey {
		change.Fields = nil // there are very many keys, and the manager has them all in memory
	}
	if !change.Spec && len(change.Fields) == 0 {
		annotateOrRemove(object, name, annotations[name])
		return nil
	}
	value, err := specchange.Add(annotations, change)
	if err != nil {
		return err
	}
	annotate(object, name, value)
	return nil
}

// keepDeletion keeps the stamp of who asked for the deletion of an object. Only the manager sets it.
func (s stamp) keepDeletion(ctx context.Context, request admission.Request, old, object *unstructured.Unstructured) error {
	const name = v1alpha1.AnnotationDeletedBy
	earlier := old.GetAnnotations()[name]
	if object.GetAnnotations()[name] == earlier {
		return nil
	}
	if manager, err := s.self.is(ctx, request.UserInfo.Username); manager || err != nil {
		return err
	}
	annotateOrRemove(object, name, earlier)
	return nil
}

// generationOf returns metadata.generation of an object that was decoded without its type, where numbers have fractions.
func generationOf(object *unstructured.Unstructured) int64 {
	value, _, _ := unstructured.NestedFieldNoCopy(object.Object, "metadata", "generation")
	switch value := value.(type) {
	case float64:
		return int64(value)
	case int64:
		return value
	default:
		return 0
	}
}

// via returns how the user of a request makes it.
func via(request admission.Request) string {
	return specchange.Via(request.UserInfo.Username, fieldManager(request))
}

// fieldManager returns the field manager that the client of a request names.
func fieldManager(request admission.Request) string {
	var options struct {
		FieldManager string `json:"fieldManager"`
	}
	if json.Unmarshal(request.Options.Raw, &options) != nil {
		return ""
	}
	return options.FieldManager
}
