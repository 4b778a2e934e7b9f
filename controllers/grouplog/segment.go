package grouplog

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

const (
	// segmentSize is the greatest length of the events of a segment.
	segmentSize = 256 << 10
	// appendSize is how long the events of a segment may be for more to be appended: that writes all of them again, and etcd keeps what
	// was written before for minutes. Only what is pending at once makes a segment longer.
	appendSize = 32 << 10
	// pageSize is how many segments are listed at once: they are large.
	pageSize = 20
	// maxGroupName is how much of the name of a Group is in that of a segment.
	maxGroupName = 220
)

// segment is what is remembered of a GroupLog.
type segment struct {
	name string
	last groupevent.Head
	// latest is the latest time of its events, and size their length in bytes.
	latest time.Time
	size   int
}

// segmentName returns the name of the segment that begins with an event. Segments sort by name.
func segmentName(group groupevent.Group, first uint64) string {
	uid, _, _ := strings.Cut(group.UID, "-")
	name := group.Name[:min(len(group.Name), maxGroupName)]
	return fmt.Sprintf("%s-%s-%010d", strings.TrimRight(name, ".-"), uid, first)
}

func newSegment(group groupevent.Group, first uint64, events string) *v1alpha1.GroupLog {
	object := &v1alpha1.GroupLog{ObjectMeta: metav1.ObjectMeta{
		Namespace: group.Namespace, Name: segmentName(group, first),
		Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelGroupUID: group.UID},
	}}
	object.Spec.Group, object.Spec.First, object.Spec.Events = group.Name, int64(first), events
	object.Spec.GroupUID = uidOf(group)
	return object
}

// eachSegment calls f with the segments of a namespace, or of all, that options select, in the order of their names.
func eachSegment(ctx context.Context, reader client.Reader, f func(*v1alpha1.GroupLog), options ...client.ListOption) error {
	list := &v1alpha1.GroupLogList{}
	for page := true; page; page = list.Continue != "" {
		next := append([]client.ListOption{client.Limit(pageSize), client.Continue(list.Continue)}, options...)
		if err := reader.List(ctx, list, next...); err != nil {
			return fmt.Errorf("listing GroupLogs: %w", err)
		}
		for i := range list.Items {
			f(&list.Items[i])
		}
	}
	return nil
}

// lines returns the events of a segment, one each.
func lines(of *v1alpha1.GroupLog) []string {
	return strings.Split(strings.TrimSuffix(of.Spec.Events, "\n"), "\n")
}
