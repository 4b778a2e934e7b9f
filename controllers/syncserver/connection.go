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
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
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
	features      inUse
	rights        *rights
	subscription  *publish.Subscription
	reporter      *usage.Server
	keys          *usage.KeyReporter
	quotas        *quota.Session
	traffic       *traffic.Pending // nil if it is not recorded
	staleReported func()           // releases what reserveStale has reserved; may be called more than once
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

// close ends the subscription with its session, and then what reports on that.
func (c *connection) close(goodbye bool) {
	c.subscription.Close(goodbye)
	c.reporter.Forget()
	c.keys.Close()
	c.quotas.Close()
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
			if err := c.acknowledged(message.Ack); err != nil {
				return err
			}
		case *syncv1.SyncRequest_Versions:
			c.reporter.Report(message.Versions)
		case *syncv1.SyncRequest_Keys:
			c.keys.Report(message.Keys)
		case *syncv1.SyncRequest_Quotas:
			c.quotas.Report(message.Quotas)
		case *syncv1.SyncRequest_Traffic:
			if c.traffic != nil {
				c.traffic.Report(c.subscription.Session(), message.Traffic)
			}
		case *syncv1.SyncRequest_Refusals:
			if c.traffic != nil {
				c.traffic.ReportKeys(c.subscription.Session(), message.Refusals)
			}
		case *syncv1.SyncRequest_Hello:
			return status.Error(codes.InvalidArgument, "there is one Hello on a stream")
		default: // a message of a later release
		}
	}
}

// acknowledged applies an Ack: first what the server cannot use, because the Ack says that it has received that.
func (c *connection) acknowledged(ack *syncv1.Ack) error {
	if rejections := ack.GetRejections(); rejections != nil && c.features.has(syncv1.Feature_FEATURE_REJECTIONS) {
		if err := checkRejections(rejections); err != nil {
			return err
		}
		c.subscription.Reject(rejections)
	}
	if !c.subscription.Ack(ack.GetRevision()) {
		return errUnsent
	}
	return nil
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

// send sends the Welcome, and then updates, allowances and numbers of servers, whichever is ready. It waits until the server has
// taken each, so that nothing accumulates here: a message is made when it can be sent. What the server does not know is not sent.
func (c *connection) send(ctx context.Context, updates <-chan *syncv1.Update, clk clock.PassiveClock) error {
	send := func(response *syncv1.SyncResponse) error {
		c.sending.Store(clk.Now().UnixNano())
		defer c.sending.Store(0)
		return c.stream.Send(response)
	}
	var allowances, keys, servers <-chan struct{}
	if c.features.has(syncv1.Feature_FEATURE_QUOTAS) {
		allowances = c.quotas.Ready()
	}
	if c.features.has(syncv1.Feature_FEATURE_KEY_REPORTS) {
		keys = c.keys.Ready()
	}
	if c.features.has(syncv1.Feature_FEATURE_SERVERS) {
		servers = c.subscription.ServersChanged()
	}
	err := send(&syncv1.SyncResponse{Message: &syncv1.SyncResponse_Welcome{Welcome: &syncv1.Welcome{Features: features()}}})
	for err == nil {
		select {
		case update := <-updates:
			err = send(&syncv1.SyncResponse{Message: &syncv1.SyncResponse_Update{Update: update}})
		case <-allowances:
			err = send(&syncv1.SyncResponse{Message: &syncv1.SyncResponse_Allowances{Allowances: c.quotas.Take()}})
		case <-keys:
			err = send(&syncv1.SyncResponse{Message: &syncv1.SyncResponse_Keys{Keys: c.keys.Take()}})
		case <-servers:
			if counts := c.subscription.TakeServers(); counts != nil {
				err = send(&syncv1.SyncResponse{Message: &syncv1.SyncResponse_Servers{Servers: counts}})
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return err
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
