// The rogue is a hostile client of the sync port, to test a manager of one's own:
//
//	go run ./test/rogue/run --address=127.0.0.1:9444 --ca-file=ca.crt --token-file=token everything
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"google.golang.org/grpc/credentials"

	"github.com/keyward-dev/keyward/test/rogue"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rogue:", err)
		os.Exit(1)
	}
}

func run() error {
	c := &rogue.Client{}
	flag.StringVar(&c.Address, "address", "127.0.0.1:9444", "of the sync port")
	flag.StringVar(&c.Instance, "instance", "rogue", "name that it gives itself")
	server := flag.String("server-name", "keyward-sync.keyward-system.svc", "in the manager's certificate")
	ca := flag.String("ca-file", "ca.crt", "PEM")
	token := flag.String("token-file", "token", "of a ServiceAccount, for the audience keyward.dev/sync")
	groups := flag.String("groups", "", "that it asks for, with commas; all by default")
	number := flag.Int("n", 1000, "how many, where that is to be said")
	flag.Parse()
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(*token)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("--ca-file: no certificate")
	}
	c.TLS = credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: *server, MinVersion: tls.VersionTLS13})
	c.Token = strings.TrimSpace(string(text))
	if *groups != "" {
		c.Groups = strings.Split(*groups, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	modes := map[string]func() any{
		"flood": func() any { return c.Flood(ctx) }, "hold": func() any { return c.Hold(ctx) }, "silence": func() any { return c.Silence(ctx) },
		"flap": func() any { return c.Flap(ctx) }, "kill": func() any { return c.Kill(ctx) },
		"claim": func() any { return c.Claim(ctx, *number) }, "junk": func() any { return c.Junk(ctx, *number) },
		"crowd":      func() any { held, err := c.Crowd(ctx, *number); <-ctx.Done(); return fmt.Sprint(held, " ", err) },
		"everything": func() any { c.Everything(ctx); return nil },
	}
	mode := modes[flag.Arg(0)]
	if mode == nil {
		return fmt.Errorf("%q is not a mode: flood, hold, silence, flap, kill, claim, junk, crowd or everything", flag.Arg(0))
	}
	fmt.Println(mode())
	return nil
}
