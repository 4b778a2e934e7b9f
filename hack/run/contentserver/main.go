// Command contentserver serves the sample content in a Pod.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/keyward-dev/keyward/hack/run/content"
)

const (
	address = ":8080"
	// drain is how long it continues to serve after SIGTERM, until proxies know that it ends.
	drain = 5 * time.Second
	// grace bounds how long responses may take after that.
	grace = 20 * time.Second
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "contentserver: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	ok := func(http.ResponseWriter, *http.Request) {}
	mux.HandleFunc("GET /healthz", ok)
	mux.HandleFunc("GET /{$}", ok) // for probes that name no path
	mux.Handle("/", content.Handler(slog.New(slog.NewTextHandler(os.Stdout, nil))))
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		time.Sleep(drain)
		ending, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		done <- server.Shutdown(ending)
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}
