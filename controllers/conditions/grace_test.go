package conditions_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
)

func TestGraceLeft(t *testing.T) {
	created := time.Date(2026, time.November, 26, 12, 0, 0, 0, time.UTC)
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(created)}}
	for name, test := range map[string]struct {
		observed int64
		age      time.Duration
		want     time.Duration
	}{
		"new":                    {-1, 0, conditions.ReferenceGrace},
		"a second old":           {-1, time.Second, conditions.ReferenceGrace - time.Second},
		"without a status, old":  {-1, conditions.ReferenceGrace, 0},
		"much older":             {-1, time.Hour, 0},
		"new and seen before":    {1, time.Second, 0},
		"restored, not yet seen": {0, time.Second, conditions.ReferenceGrace - time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := conditions.GraceLeft(key, test.observed, created.Add(test.age)); got != test.want {
				t.Errorf("it waits %s, want %s", got, test.want)
			}
		})
	}
}
