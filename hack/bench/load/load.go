// Package load sends requests to servers as fast as they respond, over a few connections, as a proxy does: each of many
// workers sends its next request when it has the response to its last one.
package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

const (
	// workers send requests at the same time.
	workers = 32
	// connections of HTTP/2 carry the requests of all workers, as those of an Envoy do.
	connections = 2

	checkMethod = "/envoy.service.auth.v3.Authorization/Check"
)

// Result is the outcome of a load.
type Result struct {
	Requests int64
	Took     time.Duration
}

// GRPC sends encoded CheckRequests in turn. right checks each response.
func GRPC(ctx context.Context, address string, checks [][]byte, right func(response []byte) error, duration time.Duration) (Result, error) {
	clients := make([]*grpc.ClientConn, connections)
	for i := range clients {
		client, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
		if err != nil {
			return Result{}, err
		}
		defer func() { _ = client.Close() }()
		clients[i] = client
	}
	return run(ctx, duration, func(_ context.Context, worker int) (func(context.Context, int) error, error) {
		client := clients[worker%connections]
		return func(ctx context.Context, n int) error {
			var answer []byte
			if err := client.Invoke(ctx, checkMethod, checks[n%len(checks)], &answer); err != nil {
				return err
			}
			return right(answer)
		}, nil
	})
}

// raw is a codec for messages that are encoded already.
type raw struct{}

// Name implements encoding.CodecV2.
func (raw) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	encoded, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not encoded", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(encoded)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	to, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is not encoded", v)
	}
	*to = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = raw{}

// HTTP sends encoded requests of HTTP/1.1 in turn, over one connection for each worker, and requires a 200 for each.
func HTTP(ctx context.Context, address string, requests [][]byte, duration time.Duration) (Result, error) {
	return run(ctx, duration, func(ctx context.Context, _ int) (func(context.Context, int) error, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		// Otherwise later measurements would have more and more idle connections.
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		in := bufio.NewReader(conn)
		return func(ctx context.Context, n int) error {
			if _, err := conn.Write(requests[n%len(requests)]); err != nil {
				return errors.Join(ctx.Err(), err)
			}
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				return errors.Join(ctx.Err(), err)
			}
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close() // it is read
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("answered %s", response.Status)
			}
			return err
		}, nil
	})
}

// run lets all workers send requests for the duration, and waits for their last responses. The context that open gets is
// valid until then.
func run(ctx context.Context, duration time.Duration,
	open func(ctx context.Context, worker int) (ask func(context.Context, int) error, err error)) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asked atomic.Int64
	var over atomic.Bool
	errs := make([]error, workers)
	begin := time.Now()
	defer time.AfterFunc(duration, func() { over.Store(true) }).Stop()
	var asking sync.WaitGroup
	for worker := range workers {
		ask, err := open(ctx, worker)
		if err != nil {
			return Result{}, err
		}
		asking.Go(func() {
			for n := worker; !over.Load(); n += workers {
				if errs[worker] = ask(ctx, n); errs[worker] != nil {
					over.Store(true)
					return
				}
				asked.Add(1)
			}
		})
	}
	asking.Wait()
	return Result{Requests: asked.Load(), Took: time.Since(begin)}, errors.Join(errs...)
}
