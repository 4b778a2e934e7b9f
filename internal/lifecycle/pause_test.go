package lifecycle_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// TestReplacementsArePaused: the first version whose text is lost is replaced at once. Who loses each of them, or changes the
// Secret over and over, waits longer each time.
func TestReplacementsArePaused(t *testing.T) {
	for name, c := range map[string]struct {
		replaced int           // how many of the latest versions replaced a lost one
		apart    time.Duration // between the instants at which they were minted
		pause    time.Duration
	}{
		"the first":               {0, 0, 0},
		"the second":              {1, time.Second, time.Second},
		"the third":               {2, time.Second, 2 * time.Second},
		"the fifth":               {4, 10 * time.Second, 8 * time.Second},
		"as many as are known":    {9, time.Minute, 256 * time.Second},
		"the third, rarely":       {2, time.Hour, time.Second},
		"the third in 10 minutes": {2, 10 * time.Minute, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			versions := []v1alpha1.KeyVersion{version(1, v1alpha1.VersionActive)}
			for i := range c.replaced {
				versions[len(versions)-1].State = v1alpha1.VersionRevoked
				next := because(v1alpha1.CauseReplaced, version(int64(i+2), v1alpha1.VersionActive))
				next.MintedAt = metav1.Time{Time: start.Add(time.Duration(i+1) * c.apart)}
				versions = append(versions, next)
			}
			last := &versions[len(versions)-1]
			last.ExpiresAt = nil
			if len(versions) > 9 {
				versions = versions[len(versions)-9:]
			}
			in := input(versions...)
			if c.pause > 0 {
				out := lifecycle.Plan(in, last.MintedAt.Add(c.pause-1))
				if out.Action != lifecycle.None || out.Wake.After(last.MintedAt.Add(c.pause)) || out.Wake.IsZero() {
					t.Errorf("before it is over: action %v, and a look again at %v", out.Action, out.Wake)
				}
			}
			if out := lifecycle.Plan(in, last.MintedAt.Add(c.pause)); out.Action != lifecycle.Mint || out.Cause != v1alpha1.CauseReplaced {
				t.Errorf("when it is over: action %v, because %v", out.Action, out.Cause)
			}
		})
	}
}
