package conditions_test

import (
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
