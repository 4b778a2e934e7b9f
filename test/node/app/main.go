// Command app is what the Pods of tenants run in the tests on a node.
//
//	app load URL KEYFILE    sends requests until it is stopped, and serves what became of them
//	app job URL KEYFILE     sends one request and fails if it is not allowed
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
		fmt.Fprintln(os.Stderr, "usage: app load|job URL KEYFILE")
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
