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
	"github.com/keyward-dev/keyward/controllers/usage/quota"
)

// connection is one validation server that is connected.
//
// Five goroutines share it: serve, receive, await, send and review. admit fills it before they start; after that its
// fields do not change, and what they point to has locks of its own. Only cleanups is changed later, by leave, after serve
// has returned; serve does not wait for the other goroutines, so close must be safe while they still run. sending is
// written by send and read by serve.
type connection struct {
	stream        syncv1.SyncService_SyncServer
	instance      string
	rights        *rights
	subscription  *publish.Subscription
	reporter      *usage.Server
	keys          *usage.KeyReporter
	session       *quota.Session
	staleReported func() // releases what reserveStale has reserved; may be called more than once
	cleanups      []func()
	log           logr.Logger

	sending atomic.Int64 // when the response began that is being sent, in Unix nanoseconds; 0 if none is
}

// open counts the stream, if there may be another one.
func (c *connection) open(streams *streams, of string, most int) bool {
	leave, ok := streams.open(of, most)
	if ok {
		c.cleanups = append(c.cleanups, leave)
	}
	return ok
}

// leave undoes what admit did, in reverse order.
func (c *connection) leave() {
	for i := len(c.cleanups) - 1; i >= 0; i-- {
		c.cleanups[i]()
	}
	c.cleanups = nil
}

// close reports to all trackers that the server is disconnected.
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

// await passes updates on as send takes them.
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

// send sends updates, allowances and numbers of servers, whichever is ready. It waits until the server has taken each, so
// that nothing accumulates here: a message is made when it can be sent.
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

// isStuck reports whether the server has taken too long to take the response that is being sent.
func (c *connection) isStuck(now time.Time) bool {
	since := c.sending.Load()
	return since != 0 && now.Sub(time.Unix(0, since)) > Patience
}

// review reviews the rights of the server, and applies them, each time that reviews receives.
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
