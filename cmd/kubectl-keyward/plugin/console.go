package plugin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/console/bearer"
	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/person"
	sessions "github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
)

const (
	loopback   = "127.0.0.1"
	mostPort   = 65535
	consoleEnd = 3 * time.Second // for requests in flight
)

func (a *app) console() *cobra.Command {
	port := 0
	cmd := &cobra.Command{
		Use: "console", Short: "Serve the pages of the console on this machine, as yourself",
		Long: `Serve the pages of the console on this machine, with the user of your kubeconfig, until Ctrl-C.

It prints an address, which signs a browser in once: open it yourself, and give it to nobody. Nobody else who uses this
machine can then use the pages. A session ends half an hour after its last page, and after eight hours.`,
		Example: `  kubectl keyward console
  kubectl keyward console --port 8000`,
		Args: noArguments,
		PreRunE: func(*cobra.Command, []string) error {
			if port < 0 || port > mostPort {
				return usagef("--port: write a number up to %d", mostPort)
			}
			return nil
		},
		RunE: a.withSession(func(ctx context.Context, s *session, _ []string) error { return a.serveConsole(ctx, s, port) }),
	}
	cmd.Flags().IntVar(&port, "port", 0, "the port of "+loopback+"; default: a free one")
	return cmd
}

// serveConsole serves until ctx ends.
func (a *app) serveConsole(ctx context.Context, s *session, port int) error {
	who, err := bearer.Review(ctx, s.config)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("--port: %w", err)
	}
	origin := "http://" + listener.Addr().String()
	entry := newEntry(sessions.Claims{Name: who.Username, Groups: who.Groups})
	log := slog.New(slog.NewTextHandler(a.streams.ErrOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
	began := a.now()
	handler, err := web.New(web.Config{
		Desk: func(of *person.Person) (web.Desk, error) {
			return cluster.New(of, cluster.Options{Namespaces: []string{s.namespace}, Now: a.now})
		},
		Ring: keyring.Random(began), Now: a.now, Log: log, Revocations: sessions.NewMemory(a.now, began.Add(-time.Second)),
		Reach:   func(sessions.Claims) (*rest.Config, error) { return rest.CopyConfig(s.config), nil },
		Origins: []string{origin}, Loopback: true, Entry: entry.use,
		Address: func(*http.Request) netip.Addr { return netip.Addr{} },
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	a.narrate("The pages of the console, as %s, until Ctrl-C. This address signs one browser in, once:", who.Username)
	if _, err := fmt.Fprintln(a.streams.Out, origin+web.EntryPath+entry.secret); err != nil {
		return errors.Join(err, listener.Close())
	}
	server := web.NewServer(handler, 0, log)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), consoleEnd)
	defer stop()
	if server.Shutdown(ending) != nil {
		return server.Close()
	}
	return nil
}

// entry is the secret of an address that signs somebody in, once.
type entry struct {
	secret string
	claims sessions.Claims
	used   atomic.Bool
}

func newEntry(claims sessions.Claims) *entry {
	return &entry{secret: rand.Text() + rand.Text(), claims: claims} // 256 bits: too many to try
}

func (e *entry) use(secret string) (sessions.Claims, bool) {
	if subtle.ConstantTimeCompare([]byte(secret), []byte(e.secret)) != 1 || e.used.Swap(true) {
		return sessions.Claims{}, false
	}
	return e.claims, true
}
