package plugin

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// TestAuditVerifyLargeLog finds nothing in a log without faults, and reports how long that takes. With KEYWARD_EVENTS=100000 it is the case
// that docs/performance.md has.
func TestAuditVerifyLargeLog(t *testing.T) {
	events, err := strconv.Atoi(cmp.Or(os.Getenv("KEYWARD_EVENTS"), "2000"))
	if err != nil {
		t.Fatal(err)
	}
	const segmentSize = 32 << 10 // as the manager writes them
	namespace(t, "large")
	group := &v1alpha1.Group{}
	group.Namespace, group.Name = "large", "acme"
	if err := admin.Create(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	of := groupevent.Group{Namespace: "large", Name: "acme", UID: string(group.UID)}
	catalogue, head, segment, segments, size := groupevent.Catalogue(), groupevent.Head{}, (*v1alpha1.GroupLog)(nil), 0, 0
	write := func() {
		t.Helper()
		if segment == nil {
			return
		}
		if err := admin.Create(t.Context(), segment); err != nil {
			t.Fatal(err)
		}
		segments, segment = segments+1, nil
	}
	for i := range events {
		entry := catalogue[i%len(catalogue)]
		if entry.Type == groupevent.TypeGroupDeleted { // a log ends with it
			entry = catalogue[0]
		}
		subject := groupevent.Subject{Kind: entry.Kind, Namespace: "large", Name: "acme-web", UID: entry.Kind}
		event, err := groupevent.New(of, entry.Type, fmt.Sprintf("%s/%d", subject.UID, i), now.Add(time.Duration(i)*time.Second), subject, entry.By, entry.Example)
		if err != nil {
			t.Fatal(err)
		}
		if event, err = groupevent.Append(head, event); err != nil {
			t.Fatal(err)
		}
		line, err := event.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if segment != nil && len(segment.Spec.Events)+len(line) >= segmentSize {
			write()
		}
		if segment == nil {
			segment = &v1alpha1.GroupLog{}
			segment.Namespace, segment.Name = "large", fmt.Sprintf("acme-%020d", event.Sequence)
			segment.Labels = map[string]string{v1alpha1.LabelGroupUID: of.UID}
			segment.Spec.Group, segment.Spec.GroupUID, segment.Spec.First = "acme", types.UID(of.UID), int64(event.Sequence)
		}
		segment.Spec.Events += string(line) + "\n"
		size, head = size+len(line)+1, event.Head()
	}
	write()
	usage := &v1alpha1.GroupUsage{}
	usage.Namespace, usage.Name = "large", "acme"
	if err := admin.Create(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	usage.Status.GroupUID = group.UID
	usage.Status.Log = &v1alpha1.LogHead{LogPosition: v1alpha1.LogPosition{Sequence: int64(head.Sequence), ID: head.ID, Hash: head.Hash}}
	if err := admin.Status().Update(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	r := keyward(t, "", "audit", "verify", "-n", "large", "acme")
	took := time.Since(begin)
	r.expect(t, 0, fmt.Sprintf("is whole: %d events in %d segments, 1 to %d.", events, segments, events))
	t.Logf("%d events of %d bytes in %d segments were read and verified in %s", events, size/events, segments, took.Round(time.Millisecond))
}
