package conditions_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/keyward-dev/keyward/controllers/conditions"
)

// TestLongTextsAreTruncated: an event with a note that the API server would refuse is shortened, and so is the message of a
// condition.
func TestLongTextsAreTruncated(t *testing.T) {
	for _, text := range []string{strings.Repeat("é", 40_000), strings.Repeat("x%s", 40_000), "short 100%"} {
		recorder := events.NewFakeRecorder(1)
		conditions.Clipped(recorder).Eventf(&corev1.Secret{}, nil, "Warning", "Reason", "Plan", "%s", text)
		note := strings.TrimPrefix(<-recorder.Events, "Warning Reason ")
		var all []metav1.Condition
		conditions.Setter{Conditions: &all, Now: time.Unix(0, 0)}.Set("Ready", false, "Reason", text)
		for limit, got := range map[int]string{1024: note, 4096: all[0].Message} {
			begin := strings.TrimSuffix(got, "…")
			if len(got) > limit || !utf8.ValidString(got) || len(text) < limit && got != text || !strings.HasPrefix(text, begin) {
				t.Errorf("%d bytes of at most %d: %.60q", len(got), limit, got)
			}
		}
	}
}

// TestNoEventsIntoNamespacesThatAreDeleted: the API server refuses them, and client-go logs each as an error.
func TestNoEventsIntoNamespacesThatAreDeleted(t *testing.T) {
	recorder := events.NewFakeRecorder(10)
	living := conditions.ForLiving(recorder, func(namespace string) bool { return namespace == "gone" })
	for _, namespace := range []string{"acme", "gone", ""} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}}
		living.Eventf(secret, nil, "Normal", "Reason", "Plan", "in %q", namespace)
	}
	close(recorder.Events)
	var sent []string
	for event := range recorder.Events {
		sent = append(sent, event)
	}
	if want := []string{`Normal Reason in "acme"`, `Normal Reason in ""`}; !slices.Equal(sent, want) {
		t.Errorf("sent %q, want %q", sent, want)
	}
}
