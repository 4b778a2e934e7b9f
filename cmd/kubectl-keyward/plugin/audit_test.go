package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// audited creates a Group with a log that has the example of every type but the end of the Group, in segments of so many events,
// and the GroupUsage with its head.
func audited(t *testing.T, namespace, name string, inSegment int) (group *v1alpha1.Group, segments []*v1alpha1.GroupLog) {
	t.Helper()
	month(t, namespace, name, func(*v1alpha1.Group) {})
	group = &v1alpha1.Group{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, group); err != nil {
		t.Fatal(err)
	}
	of, head := groupevent.Group{Namespace: namespace, Name: name, UID: string(group.UID)}, groupevent.Head{}
	for i, entry := range groupevent.Catalogue() {
		if entry.Type == groupevent.TypeGroupDeleted {
			continue
		}
		subject := groupevent.Subject{Kind: entry.Kind, Namespace: namespace, Name: "acme-" + strings.ToLower(entry.Kind), UID: entry.Kind}
		at := now.Add(time.Duration(i-100) * time.Hour)
		event, err := groupevent.New(of, entry.Type, entry.Type.Short(), at, subject, entry.By, entry.Example)
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
		if head.Sequence%uint64(inSegment) == 0 {
			segment := &v1alpha1.GroupLog{ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: name + "-" + event.ID, Labels: map[string]string{v1alpha1.LabelGroupUID: of.UID},
			}}
			segment.Spec.Group, segment.Spec.GroupUID, segment.Spec.First = name, types.UID(of.UID), int64(event.Sequence)
			segments = append(segments, segment)
		}
		segments[len(segments)-1].Spec.Events += string(line) + "\n"
		head = event.Head()
	}
	for _, segment := range segments {
		if err := admin.Create(t.Context(), segment.DeepCopy()); err != nil {
			t.Fatal(err)
		}
	}
	usage := &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := admin.Create(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	usage.Status.GroupUID = group.UID
	usage.Status.Log = &v1alpha1.LogHead{LogPosition: v1alpha1.LogPosition{Sequence: int64(head.Sequence), ID: head.ID, Hash: head.Hash}}
	if err := admin.Status().Update(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	return group, segments
}

func TestAudit(t *testing.T) {
	namespace(t, "audit")
	audited(t, "audit", "acme", 5)
	all := len(groupevent.Catalogue()) - 1
	keyward(t, "", "audit", "-n", "audit", "acme").golden(t, "audit")

	for _, of := range []struct {
		args  []string
		lines int
	}{
		{nil, all}, {[]string{"--type", "key"}, 14}, {[]string{"--type", "key.rotated"}, 1},
		{[]string{"--type", "dev.keyward.key.rotated.v1"}, 1},
		{[]string{"--since", "99h"}, all - 1}, {[]string{"--since", "2026-11-17T09:00:00Z"}, all - 1},
		{[]string{"--since", "2026-11-17"}, all},
		{[]string{"--actor", "jane@acme.example", "--type", "group"}, 2}, {[]string{"acme-apikey"}, 19}, {[]string{"--type", "notice"}, 8}, {[]string{"other"}, 0},
	} {
		r := keyward(t, "", append([]string{"audit", "-n", "audit", "-o", "json", "acme"}, of.args...)...)
		lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
		if r.out == "" {
			lines = nil
		}
		if r.code != 0 || len(lines) != of.lines {
			t.Errorf("%v: exit %d, %d events, expected %d: %s", of.args, r.code, len(lines), of.lines, r.err)
		}
		for _, line := range lines {
			if _, err := groupevent.Decode([]byte(line)); err != nil {
				t.Errorf("%v: %v", of.args, err)
			}
		}
	}
	r := keyward(t, "", "audit", "-n", "audit", "-o", "ocsf", "--type", "key.revoked", "acme")
	var ocsf struct {
		ClassUID   int `json:"class_uid"`
		ActivityID int `json:"activity_id"`
	}
	if err := json.Unmarshal([]byte(r.out), &ocsf); err != nil || ocsf.ClassUID != 3004 || ocsf.ActivityID != 11 {
		t.Errorf("%v: %s", err, r.out)
	}
	keyward(t, "", "audit", "-n", "audit", "acme", "--since", "yesterday").expect(t, ExitUsage, "--since: write a duration")
	for _, of := range []string{"ke", "Key", "key.", "key,group"} {
		keyward(t, "", "audit", "-n", "audit", "acme", "--type", of).expect(t, ExitUsage, "--type: there is no event of this type")
	}
	keyward(t, "", "audit", "-n", "audit", "acme", "-o", "yaml").expect(t, ExitUsage, "write one of table, json, ocsf")
	keyward(t, "", "audit", "-n", "audit", "nobody").expect(t, ExitError, "nobody")
}

func TestAuditVerify(t *testing.T) {
	namespace(t, "verified")
	_, segments := audited(t, "verified", "acme", 5)
	all := len(groupevent.Catalogue()) - 1
	keyward(t, "", "audit", "verify", "-n", "verified", "acme").expect(t, 0,
		fmt.Sprintf("is whole: %d events in %d segments, 1 to %d.", all, len(segments), all))
	fault := func(group string, expected ...string) {
		t.Helper()
		r := keyward(t, "", "audit", "verify", "-n", "verified", group)
		for _, text := range expected {
			r.expect(t, ExitRefused, text)
		}
	}
	// replace replaces a segment of a log: the API server accepts no change of one.
	replace := func(segment *v1alpha1.GroupLog, change func(string) string) {
		t.Helper()
		if err := admin.Delete(t.Context(), segment.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		segment = segment.DeepCopy()
		segment.Spec.Events = change(segment.Spec.Events)
		if segment.Spec.Events == "" {
			return
		}
		if err := admin.Create(t.Context(), segment); err != nil {
			t.Fatal(err)
		}
	}
	replace(segments[1], func(events string) string { return strings.Replace(events, `"severity_id":1`, `"severity_id":2`, 1) })
	fault("acme", "is changed at event", "It is in GroupLog "+segments[1].Name)

	_, segments = audited(t, "verified", "removed", 5)
	replace(segments[2], func(events string) string {
		_, rest, _ := strings.Cut(events, "\n")
		return rest
	})
	fault("removed", "is removed at event 11: the next event is 12: 1 are missing")

	_, segments = audited(t, "verified", "cut", 5)
	last := segments[len(segments)-1]
	replace(last, func(string) string { return "" })
	fault("cut", fmt.Sprintf("is missing-tail at event %d: the log is known to have reached %d: %d are missing", last.Spec.First, all, all-int(last.Spec.First)+1))

	_, segments = audited(t, "verified", "replayed", 5)
	again := segments[0].DeepCopy()
	again.Name, again.Spec.First = "again", int64(all+1)
	if err := admin.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	fault("replayed", fmt.Sprintf("is replayed at event %d: event 1 is there again", all+1), "It is in GroupLog again")

	group, _ := audited(t, "verified", "gone", 5)
	if err := admin.Delete(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	fault("gone", "the Group is deleted, and its log does not end with that")
}

func TestAuditFollows(t *testing.T) {
	namespace(t, "followed")
	_, segments := audited(t, "followed", "acme", 100)
	last := &v1alpha1.GroupLog{}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(segments[0]), last); err != nil {
		t.Fatal(err)
	}
	lines := groupevent.Lines(last.Spec.Events)
	before, err := groupevent.Decode([]byte(lines[len(lines)-1]))
	if err != nil {
		t.Fatal(err)
	}
	event, err := groupevent.New(before.Group, groupevent.TypeKeySuspended, "later", now, before.Subject,
		groupevent.Actor{User: "somebody-later", Via: groupevent.ViaKubectl}, groupevent.Edited{Generation: 9})
	if err != nil {
		t.Fatal(err)
	}
	if event, err = groupevent.Append(before.Head(), event); err != nil {
		t.Fatal(err)
	}
	line, err := event.Encode()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	said, ended := make(chan string, 100), make(chan int, 1)
	a := &app{streams: genericiooptions.IOStreams{
		In: strings.NewReader(""), Out: hearing(func(text string) { said <- text }), ErrOut: io.Discard,
	}, now: func() time.Time { return now }}
	go func() {
		ended <- run(ctx, a, []string{"audit", "-n", "followed", "acme", "--type", "key.suspended", "-f", "--kubeconfig", kubeconfig,
			"--cache-dir", t.TempDir()}, "test")
	}()
	waitFor := func(text string) {
		t.Helper()
		for all := ""; !strings.Contains(all, text); {
			select {
			case more := <-said:
				all += more
			case <-time.After(time.Minute):
				t.Fatalf("no %s in %s", text, all)
			}
		}
	}
	waitFor("jane@acme.example")
	last.Spec.Events += string(line) + "\n"
	if err := admin.Update(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	waitFor("somebody-later")
	stop()
	if code := <-ended; code != ExitInterrupted {
		t.Errorf("exit %d", code)
	}
}
