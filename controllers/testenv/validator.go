package testenv

import (
	"context"
	"crypto/rand"

	. "github.com/onsi/ginkgo/v2"

	"github.com/keyward-dev/keyward/controllers/publish"
)

// Validator is a validation server of the World's Group that reads only when it is made to.
type Validator struct{ *publish.Subscription }

// Connect subscribes a validation server, which catches up.
func (w *World) Connect(name string) Validator {
	v := Validator{Hub.Subscribe(publish.Subscriber{Instance: name, Incarnation: rand.Text(), Selection: w.Selection()})}
	DeferCleanup(func() { v.Close(true) })
	v.CatchUp()
	return v
}

// CatchUp takes and acknowledges everything that is there.
func (v Validator) CatchUp() {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		if v.CaughtUp() {
			cancel()
		}
		update, err := v.Next(ctx)
		cancel()
		if err != nil {
			return
		}
		v.Ack(update.GetRevision())
	}
}
