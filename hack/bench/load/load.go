// Package load asks servers as fast as they answer, over a few connections, as a proxy does:
// each of many workers sends its next request when it has the answer to its last.
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
	// workers ask at the same time.
	workers = 32
	// connections of HTTP/2 carry the questions of all workers, as those of an Envoy do.
	connections = 2

	checkMethod = "/envoy.service.auth.v3.Authorization/Check"
)

// Result is what a load has done.
type Result struct {
	Requests int64
	Took     time.Duration
}

// GRPC sends encoded CheckRequests in turn. Each answer is looked at by right.
func GRPC(ctx context.Context, address string, checks [][]byte, right func(answer []byte) error, duration time.Duration) (Result, error) {
	clients := make([]*grpc.ClientConn, connections)
	for i := range clients {
		client, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
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

// raw passes encoded messages on.
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

// HTTP sends encoded requests of HTTP/1.1 in turn, over a connection of each worker, and
// wants all of them to be answered 200.
func HTTP(ctx context.Context, address string, requests [][]byte, duration time.Duration) (Result, error) {
	return run(ctx, duration, func(ctx context.Context, _ int) (func(context.Context, int) error, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() }) // or what is measured next would have more and more idle connections
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

// run has all workers ask until the time is over, and waits for their last answers. What they
// open with the context that they are given is theirs until then.
func run(ctx context.Context, duration time.Duration, open func(ctx context.Context, worker int) (ask func(context.Context, int) error, err error)) (Result, error) {
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
