package publish

import (
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// MaxRecordBytes is how large a record may be that is sent. What admission and GroupRecord accept is smaller: this
// bound is for what they overlook. An update carries chunkBytes and a record more, far below what a validation server
// receives, so no Group can keep a server from catching up with the others.
const MaxRecordBytes = 1 << 20

// withinBounds returns the record, or in place of one that is too large one that refuses all keys of the group. What
// servers have must not stay as it was: it may allow what is no longer declared.
func withinBounds(record *syncv1.Group) (within *syncv1.Group, tooLarge bool) {
	if proto.Size(record) <= MaxRecordBytes {
		return record, false
	}
	return &syncv1.Group{
		Namespace: record.GetNamespace(), Name: record.GetName(), State: syncv1.GroupState_GROUP_STATE_SUSPENDED,
		Projects: []*syncv1.Project{{Name: "default"}},
	}, true
}

// IsTooLarge reports whether the record of a group is not sent, because it is too large.
func IsTooLarge(record *syncv1.Group) bool {
	_, tooLarge := withinBounds(record)
	return tooLarge
}

// withheld are the records that are not sent because they are too large, by whom the metric names. The Hub's lock guards it.
type withheld map[Ref]Subject

func (w withheld) note(subject Subject, tooLarge bool) {
	if !tooLarge {
		w.forget(subject.Ref)
		return
	}
	w[subject.Ref] = subject
	withheldRecords.WithLabelValues(labelsOf(subject)...).Set(1)
}

func (w withheld) forget(ref Ref) {
	if subject, is := w[ref]; is {
		withheldRecords.DeleteLabelValues(labelsOf(subject)...)
		delete(w, ref)
	}
}

func labelsOf(subject Subject) []string {
	kind := "Group"
	if subject.Kind == KindKey {
		kind = "ApiKey"
	}
	return []string{kind, subject.Object.Namespace, subject.Object.Name}
}
