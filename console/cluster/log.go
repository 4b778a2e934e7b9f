package cluster

import (
	"context"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

const (
	// logEntries is how many entries a page of a log has at most, and logSegments how many segments, of 256 KiB at most, are read for it.
	logEntries, logSegments = 50, 16
	// segmentPages is how many pages of names of segments are read, of segmentPage each. The log of a Group is deleted from its beginning before it has as
	// many.
	segmentPages, segmentPage = 20, 500
)

// segment is where a part of a log is.
type segment struct {
	name  string
	first uint64 // number of its first event
}

// Log implements web.Desk.
func (d *Desk) Log(ctx context.Context, of place.Group, query web.LogQuery) (page.Log, error) {
	group, err := d.group(ctx, of)
	if err != nil {
		return page.Log{}, err
	}
	segments, err := d.segments(ctx, group)
	if err != nil {
		return page.Log{}, reading(err)
	}
	entered := view.EnteredLog(query)
	filter, before, _ := view.LogFilter(&entered)
	var events []groupevent.Event
	next, read := uint64(0), 0
	for i := len(segments) - 1; i >= 0 && next == 0; i-- {
		if before != 0 && segments[i].first >= before {
			continue
		}
		if read++; read > logSegments {
			next = segments[i+1].first
			break
		}
		events, next, err = d.newest(ctx, group, segments[i].name, &filter, before, events)
		if err != nil {
			return page.Log{}, reading(err)
		}
	}
	seen := &view.Sight{Group: of, Now: d.now()}
	return seen.Log(events, &entered, next), nil
}

// segments returns where the log of a Group is, the oldest part first.
func (d *Desk) segments(ctx context.Context, group *v1alpha1.Group) ([]segment, error) {
	var found []segment
	list := &metav1.PartialObjectMetadataList{}
	for range segmentPages {
		from := list.Continue
		list = &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GroupLogList"))
		only := client.MatchingLabels{v1alpha1.LabelGroupUID: string(group.UID)}
		if err := d.list(ctx, list, group.Namespace, from, segmentPage, only); err != nil {
			return nil, err
		}
		for i := range list.Items {
			name := list.Items[i].Name
			first, err := strconv.ParseUint(name[strings.LastIndexByte(name, '-')+1:], 10, 63)
			if err == nil {
				found = append(found, segment{name, first})
			}
		}
		if list.Continue == "" {
			break
		}
	}
	slices.SortFunc(found, func(a, b segment) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

// newest adds the events of a segment that are before a number, and selected, newest first. If that fills the page, next is the number of the last.
func (d *Desk) newest(ctx context.Context, group *v1alpha1.Group, name string, filter *groupevent.Filter, before uint64,
	events []groupevent.Event) (all []groupevent.Event, next uint64, err error) {
	log := &v1alpha1.GroupLog{}
	err = d.client.Get(ctx, objectKey(group.Namespace, name), log)
	if apierrors.IsNotFound(err) { // it was deleted because of its age
		return events, 0, nil
	}
	if err != nil || log.Spec.GroupUID != group.UID {
		return events, 0, err
	}
	for _, line := range slices.Backward(groupevent.Lines(log.Spec.Events)) {
		event, err := groupevent.Decode([]byte(line))
		if err != nil || before != 0 && event.Sequence >= before || !filter.Selects(&event) {
			continue
		}
		if len(events) == logEntries {
			return events, events[len(events)-1].Sequence, nil
		}
		events = append(events, event)
	}
	return events, 0, nil
}
