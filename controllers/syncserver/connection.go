package syncserver

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/controllers/usage/accounts"
)

// connection is one validation server that is connected.
type connection struct {
	stream        syncv1.SyncService_SyncServer
	instance      string
	rights        *rights
	subscription  *publish.Subscription
	reporter      *usage.Server
	keys          *usage.KeyReporter
	session       *accounts.Session
	staleReported func() // it was told of groups that are no more
	cleanups      []func()
	log           logr.Logger

	sending atomic.Int64 // since when a response is on its way, Unix nanoseconds; 0 is none
}

// open counts the stream, where there may be another.
func (c *connection) open(streams *streams, of string, most int) bool {
	leave, ok := streams.open(of, most)
	if ok {
		c.cleanups = append(c.cleanups, leave)
	}
	return ok
}

// leave undoes what admit did, in the opposite order.
func (c *connection) leave() {
	for i := len(c.cleanups) - 1; i >= 0; i-- {
		c.cleanups[i]()
	}
	c.cleanups = nil
}

// close has everybody know that the server is gone.
func (c *connection) close(goodbye bool) {
	c.subscription.Close(goodbye)
	c.reporter.Close(goodbye)
	c.keys.Close(goodbye)
	c.session.Close()
}

func (c *connection) receive() error {
	for {
		request, err := c.stream.Recv()
		if errors.Is(err, io.EOF) {
			return errGoodbye
		}
		if err != nil {
			return err
		}
		switch message := request.GetMessage().(type) {
		case *syncv1.SyncRequest_Ack:
			if !c.subscription.Ack(message.Ack.GetRevision()) {
				return errUnsent
			}
		case *syncv1.SyncRequest_Uses:
			c.reporter.Report(message.Uses)
			c.keys.Report(message.Uses)
			if err := c.session.Report(message.Uses); err != nil {
				return err
			}
		default:
			return status.Error(codes.InvalidArgument, "after the Hello only Acks and Uses are expected")
		}
	}
}

// await hands on updates as they are wanted.
func (c *connection) await(ctx context.Context, updates chan<- *syncv1.Update, secrecy *secrecy) error {
	for {
		update, err := c.subscription.Next(ctx)
		if err != nil {
			return err
		}
		if err := secrecy.add(ctx, update); err != nil {
			return err
		}
		select {
		case updates <- update:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// send sends updates, allowances and numbers of servers, whichever there is. It waits for the server to take each, so
// that nothing gathers here: what is to be sent is put together when it can be.
func (c *connection) send(ctx context.Context, updates <-chan *syncv1.Update, clk clock.PassiveClock) error {
	for {
		response := &syncv1.SyncResponse{}
		select {
		case update := <-updates:
			response.Update = update
		case <-c.session.Ready():
			response.Allowances = c.session.Take()
		case <-c.keys.Ready():
			response.Allowances = c.keys.Take()
		case <-c.subscription.ServersChanged():
			if response.Servers = c.subscription.TakeServers(); response.Servers == nil {
				continue
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.sending.Store(clk.Now().UnixNano())
		if err := c.stream.Send(response); err != nil {
			return err
		}
		c.sending.Store(0)
	}
}

// isStuck reports whether the server has not taken what is on its way to it for too long.
func (c *connection) isStuck(now time.Time) bool {
	since := c.sending.Load()
	return since != 0 && now.Sub(time.Unix(0, since)) > Patience
}

// review goes by what the server may have by now, each time that it is told to.
func (c *connection) review(ctx context.Context, reviews <-chan struct{}) {
	for {
		select {
		case <-reviews:
		case <-ctx.Done():
			return
		}
		if err := c.rights.review(ctx); err != nil {
			if ctx.Err() == nil {
				c.log.Error(err, "Rights are reviewed late", "instance", c.instance)
			}
			continue
		}
		c.subscription.Review()
	}
}
