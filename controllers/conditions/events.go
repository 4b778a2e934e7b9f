package conditions

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
)

// maxNote is how many bytes the note of an event may have; the API server refuses longer ones.
const maxNote = 1024

// Clipped is a recorder that truncates long notes, which would be lost otherwise.
func Clipped(recorder events.EventRecorder) events.EventRecorder { return clipped{recorder} }

type clipped struct{ events.EventRecorder }

// Eventf implements events.EventRecorder.
func (c clipped) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	c.EventRecorder.Eventf(regarding, related, kind, reason, action, "%s", clipTo(fmt.Sprintf(note, args...), maxNote))
}

// ForLiving is a recorder that sends no events into namespaces that are being deleted, where the API server refuses each.
func ForLiving(recorder events.EventRecorder, terminating func(namespace string) bool) events.EventRecorder {
	return forLiving{recorder, terminating}
}

type forLiving struct {
	events.EventRecorder

	terminating func(namespace string) bool
}

// Eventf implements events.EventRecorder.
func (f forLiving) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	if object, err := meta.Accessor(regarding); err == nil && object.GetNamespace() != "" && f.terminating(object.GetNamespace()) {
		return
	}
	f.EventRecorder.Eventf(regarding, related, kind, reason, action, note, args...)
}
