package billing_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/controllers/billing"
)

// refusing is an API server that refuses the first lists.
type refusing struct {
	client.Reader
	refuses atomic.Int32
}

func (r *refusing) List(context.Context, client.ObjectList, ...client.ListOption) error {
	if r.refuses.Add(-1) >= 0 {
		return errors.New("the API server is not ready")
	}
	return nil
}

// TestRelease: an API server that refuses for a while does not end the manager, and is asked again.
func TestRelease(t *testing.T) {
	reader := &refusing{}
	reader.refuses.Store(2)
	clk := clocktesting.NewFakeClock(begin)
	release := &billing.Release{Cluster: &billing.Cluster{Reader: reader}, Clock: clk, Log: logr.Discard(), RetryInterval: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- release.Start(t.Context()) }()
	for deadline := time.After(time.Minute); ; {
		select {
		case err := <-ended:
			if err != nil || reader.refuses.Load() >= 0 {
				t.Fatalf("it ended with %v, and %d lists left to refuse", err, reader.refuses.Load())
			}
			return
		case <-deadline:
			t.Fatal("it does not end")
		case <-time.After(time.Millisecond):
			clk.Step(time.Second)
		}
	}
}
