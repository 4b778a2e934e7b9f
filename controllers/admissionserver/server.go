// Package admissionserver serves admission webhooks within bounds. Whoever reaches the port may
// ask, with objects that no schema has looked at, so what a request may cost is bounded before
// it is decoded: its size, its shape, its time, and how much of all requests is in memory at once.
package admissionserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

const (
	// maxBody is more than twice what etcd takes of one object: an update shows both states.
	maxBody = 4 << 20
	// maxInFlight is how many bytes of requests are in memory at once; decoded they are some
	// 40 times as much at worst. Others wait their turn.
	maxInFlight = 8 << 20
	// minWeight is as much as a request counts at least, so that small ones are few, too.
	minWeight = 64 << 10
	// readWithin is how long a request may take to arrive, answerWithin to be decided on after
	// it has; the API server waits for ten seconds.
	readWithin   = 3 * time.Second
	answerWithin = 9 * time.Second
)

// Options say where and how to serve.
type Options struct {
	// Address is host:port or :port.
	Address string
	// Certificate serves.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAFile has the certificates of authorities, one of which must have signed that of the
	// client; empty where clients need none.
	ClientCAFile string
	Clock        clock.PassiveClock
}

// New makes a server of webhooks.
func New(options Options) (webhook.Server, error) {
	host, portText, err := net.SplitHostPort(options.Address)
	if err != nil {
		return nil, fmt.Errorf("webhook address %q: write host:port or :port", options.Address)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 1 || port > 65535 {
		return nil, fmt.Errorf("webhook address %q: the port is a number from 1 to 65535", options.Address)
	}
	var clients *x509.CertPool
	if options.ClientCAFile != "" {
		if clients, err = authorities(options.ClientCAFile); err != nil {
			return nil, err
		}
	}
	return Bounded(webhook.NewServer(webhook.Options{
		Host: host, Port: port,
		TLSOpts: []func(*tls.Config){func(config *tls.Config) {
			config.MinVersion = tls.VersionTLS13
			config.GetCertificate = options.Certificate
			if clients != nil {
				config.ClientCAs, config.ClientAuth = clients, tls.RequireAndVerifyClientCert
			}
		}},
	}), options.Clock), nil
}

func authorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities of webhook clients: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// Bounded is the server with bounds for whatever is registered with it.
func Bounded(server webhook.Server, now clock.PassiveClock) webhook.Server {
	return &bounded{Server: server, clock: now, inFlight: semaphore.NewWeighted(maxInFlight)}
}

type bounded struct {
	webhook.Server
	clock    clock.PassiveClock
	inFlight *semaphore.Weighted
}

// Register implements webhook.Server.
func (b *bounded) Register(path string, hook http.Handler) {
	b.Server.Register(path, b.within(hook))
}

func (b *bounded) within(hook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.ContentLength < 0:
			http.Error(w, "send the Content-Length", http.StatusLengthRequired)
			return
		case r.ContentLength > maxBody:
			http.Error(w, fmt.Sprintf("an admission review has at most %d bytes", maxBody), http.StatusRequestEntityTooLarge)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), readWithin+answerWithin)
		defer cancel()
		weight := max(r.ContentLength, minWeight)
		if b.inFlight.Acquire(ctx, weight) != nil {
			http.Error(w, "too many admission reviews are under way; try again", http.StatusServiceUnavailable)
			return
		}
		defer b.inFlight.Release(weight)
		_ = http.NewResponseController(w).SetReadDeadline(b.clock.Now().Add(readWithin)) // not supported by test recorders
		body, err := io.ReadAll(io.LimitReader(r.Body, r.ContentLength))
		if err != nil {
			http.Error(w, "the admission review did not arrive in time", http.StatusRequestTimeout)
			return
		}
		if err := checkShape(body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the connection goes on
		ctx, cancelAnswer := context.WithTimeout(ctx, answerWithin)
		defer cancelAnswer()
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(bytes.NewReader(body))
		hook.ServeHTTP(w, r)
	})
}

// Bounds of the shape of a JSON text. The largest list of a schema of ours has 256 elements.
const (
	maxElements = 1024
	maxValues   = 256 << 10
	maxDepth    = 64
)

var (
	errElements = fmt.Errorf("a list or an object in an admission review has at most %d elements", maxElements)
	errValues   = fmt.Errorf("an admission review has at most %d values", maxValues)
	errDepth    = fmt.Errorf("an admission review is nested at most %d deep", maxDepth)
	errString   = errors.New("a text in the admission review does not end")
)

// checkShape refuses a text whose decoding could take far more memory than the text has: two
// bytes may be an element of hundreds. It looks at brackets and commas only; what is no JSON
// is refused by decoding.
func checkShape(body []byte) error {
	var elements [maxDepth]int
	depth, values := 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			for i++; ; i++ {
				if i >= len(body) {
					return errString
				}
				if body[i] == '\\' {
					i++
				} else if body[i] == '"' {
					break
				}
			}
		case '{', '[':
			if depth++; depth == maxDepth {
				return errDepth
			}
			elements[depth] = 1
		case '}', ']':
			depth = max(depth-1, 0)
		case ',':
			if elements[depth]++; elements[depth] > maxElements {
				return errElements
			}
			if values++; values > maxValues {
				return errValues
			}
		}
	}
	return nil
}
