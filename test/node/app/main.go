// Command app is what the Pods of tenants run in the tests on a node.
//
//	app load URL KEYFILE    sends requests until it is stopped, and serves what became of them
//	app job URL KEYFILE     sends one request and fails if it is not allowed
//	app both URL KEYFILE    is also the content server behind the sidecar that the request goes to
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: app load|job|both URL KEYFILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], &client{url: os.Args[2], keyFile: os.Args[3]}); err != nil {
		fmt.Fprintf(os.Stderr, "app: %v\n", err)
		os.Exit(1)
	}
}

func run(command string, app *client) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch command {
	case "load":
		return load(ctx, app)
	case "job":
		return job(ctx, app)
	case "both":
		return both(ctx, app)
	}
	return fmt.Errorf("unknown command %q", command)
}

func job(ctx context.Context, app *client) error {
	result := app.send(ctx, &http.Client{Timeout: 10 * time.Second})
	fmt.Printf("status %d, problem %q\n", result.status, result.problem)
	if result.lost() {
		return fmt.Errorf("the request was not allowed: %s", result)
	}
	return nil
}

const (
	contentAddress = ":8080"
	// The sidecar responds with 503 until it has received its Group, which is within seconds.
	retryInterval = 100 * time.Millisecond
	retries       = 600
)

func both(ctx context.Context, app *client) error {
	served := make(chan error, 1)
	content := &http.Server{Addr: contentAddress, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("report\n")) })}
	go func() { served <- content.ListenAndServe() }()
	defer func() { _ = content.Close() }()
	for range retries {
		if response := app.send(ctx, http.DefaultClient); response.status != http.StatusServiceUnavailable && response.status != 0 {
			break
		}
		select {
		case <-time.After(retryInterval):
		case err := <-served:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return job(ctx, app)
}
