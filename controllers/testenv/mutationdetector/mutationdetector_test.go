package mutationdetector_test

import (
	"fmt"
	"testing"

	"k8s.io/client-go/tools/cache"

	_ "github.com/keyward-dev/keyward/controllers/testenv/mutationdetector"
)

// It is of no use if it is initialized too late.
func TestDetectorIsOn(t *testing.T) {
	if kind := fmt.Sprintf("%T", cache.NewCacheMutationDetector("test")); kind != "*cache.defaultCacheMutationDetector" {
		t.Errorf("the detector of a cache is a %s", kind)
	}
}
