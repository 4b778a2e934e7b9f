package sender_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
)

// The example that the libraries of Standard Webhooks test themselves with.
const (
	exampleSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	exampleID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	exampleInstant   = 1614265330
	exampleBody      = `{"test": 2432232314}`
	exampleSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

var example = sinks.Record{Log: "acme", Sequence: 1, ID: exampleID, Type: "test", Time: time.Unix(exampleInstant, 0), Body: []byte(exampleBody)}

// request is one that a receiver got.
type request struct {
	path   string
	header http.Header
	body   []byte
}

// receiver is a real server that keeps what it gets, and answers as it is asked to.
type receiver struct {
	*httptest.Server
	caFile string

	mu       sync.Mutex
	requests []request
	answer   http.HandlerFunc
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.requests = append(r.requests, request{q.URL.RequestURI(), q.Header, body})
		answer := r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(w, q)
		}
	}))
	t.Cleanup(r.Close)
	r.caFile = write(t, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})))
	return r
}

func (r *receiver) all() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sink returns the configuration of a sink that sends to the receiver.
func (r *receiver) sink(t *testing.T, kind config.Type, change func(*config.Sink)) *config.Sink {
	t.Helper()
	to, err := url.Parse(r.URL + "/hook")
	if err != nil {
		t.Fatal(err)
	}
	s := &config.Sink{
		Name: "test", Type: kind, URL: to, CAFile: r.caFile, Timeout: 10 * time.Second, Concurrency: 1,
		AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	if change != nil {
		change(s)
	}
	return s
}

func newSender(t *testing.T, s *config.Sink) sinks.Sender {
	t.Helper()
	to, err := sender.New(s, clocktesting.NewFakePassiveClock(time.Unix(exampleInstant, 0)), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	return to
}

func reasonOf(t *testing.T, err error) sinks.Reason {
	t.Helper()
	var failure *sinks.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("%v is no failure", err)
	}
	return failure.Reason
}

// TestWebhookIsSigned: the published example results in the published signature, and a second secret in a second one.
func TestWebhookIsSigned(t *testing.T) {
	r := newReceiver(t)
	secrets := write(t, "secrets", exampleSecret+"\n")
	to := newSender(t, r.sink(t, config.Webhook, func(s *config.Sink) { s.SecretFile = secrets }))
	if _, err := to.Send(t.Context(), []sinks.Record{example}); err != nil {
		t.Fatal(err)
	}
	got := r.all()[0]
	if id, at, signature := got.header.Get("webhook-id"), got.header.Get("webhook-timestamp"), got.header.Get("webhook-signature"); id !=
		exampleID || at != fmt.Sprint(exampleInstant) || signature != exampleSignature {
		t.Errorf("%s %s %s", id, at, signature)
	}
	if string(got.body) != exampleBody || got.header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" || got.path != "/hook" {
		t.Errorf("%+v, %s", got, got.body)
	}
	// The new secret is in front while receivers know the old one only. The file is read again without a restart.
	rotated := "whsec_" + strings.Repeat("QUJD", 11) + "\n" + exampleSecret + "\n"
	if err := os.WriteFile(secrets, []byte(rotated), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Send(t.Context(), []sinks.Record{example}); err != nil {
		t.Fatal(err)
	}
	signatures := strings.Fields(r.all()[1].header.Get("webhook-signature"))
	if len(signatures) != 2 || signatures[1] != exampleSignature || signatures[0] == exampleSignature {
		t.Errorf("%q", signatures)
	}
	// An id with a dot would be ambiguous in what is signed.
	dotted := example
	dotted.ID = "a.b"
	for range 2 {
		if _, err := to.Send(t.Context(), []sinks.Record{dotted}); err != nil {
			t.Fatal(err)
		}
	}
	first, second := r.all()[2].header.Get("webhook-id"), r.all()[3].header.Get("webhook-id")
	if strings.Contains(first, ".") || first != second {
		t.Errorf("%s, %s", first, second)
	}
}

func TestSecretsAndHeadersAreChecked(t *testing.T) {
	r := newReceiver(t)
	for _, text := range []string{
		"", "whsec_dG9vIHNob3J0VE9LRU4=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaTOKEN", exampleSecret + "TOKEN",
		strings.Repeat(exampleSecret+"\n", 6), strings.Repeat("x", 70_000),
	} {
		s := r.sink(t, config.Webhook, func(s *config.Sink) { s.SecretFile = write(t, "secrets", text) })
		if _, err := sender.New(s, clocktesting.NewFakePassiveClock(time.Now()), nil); err == nil || strings.Contains(err.Error(), "TOKEN") ||
			strings.Contains(err.Error(), "MfKQ") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	for _, text := range []string{
		"TOKEN", "Authorization TOKEN", "Host: TOKEN", "webhook-id: TOKEN", "ce-type: TOKEN", "A b: TOKEN", "X: a\x00TOKEN", "Content-Length: 1",
		strings.Repeat("X-A: TOKEN\n", 17),
	} {
		s := r.sink(t, config.OTLP, func(s *config.Sink) { s.HeadersFile = write(t, "headers", text) })
		if _, err := sender.New(s, clocktesting.NewFakePassiveClock(time.Now()), nil); err == nil || strings.Contains(err.Error(), "TOKEN") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	headers := write(t, "headers", "Authorization: Bearer abc\n\nX-Tenant:  acme \n")
	to := newSender(t, r.sink(t, config.OTLP, func(s *config.Sink) { s.HeadersFile = headers }))
	if _, err := to.Send(t.Context(), []sinks.Record{example}); err != nil {
		t.Fatal(err)
	}
	if got := r.all()[0].header; got.Get("Authorization") != "Bearer abc" || got.Get("X-Tenant") != "acme" || got.Get("User-Agent") != "keyward-manager" {
		t.Errorf("%v", got)
	}
}

func TestCloudEvents(t *testing.T) {
	r := newReceiver(t)
	event := `{"specversion":"1.0","id":"a/1","source":"/keyward/acme","type":"dev.keyward.key.rotated.v1","subject":"Zoë \"50%\"",` +
		`"time":"2026-11-27T08:00:00.000Z","sequence":"0007","number":7,"datacontenttype":"application/json","data":{"version":2}}`
	record := sinks.Record{ID: "a/1", Body: []byte(event)}

	to := newSender(t, r.sink(t, config.CloudEvents, func(s *config.Sink) {
		s.Mode, s.SecretFile = config.Batch, write(t, "secrets", exampleSecret)
	}))
	if _, err := to.Send(t.Context(), []sinks.Record{record, example}); err != nil {
		t.Fatal(err)
	}
	got := r.all()[0]
	var batch []json.RawMessage
	if err := json.Unmarshal(got.body, &batch); err != nil || len(batch) != 2 || string(batch[0]) != event || string(batch[1]) != exampleBody {
		t.Errorf("%v, %s", err, got.body)
	}
	if got.header.Get("Content-Type") != "application/cloudevents-batch+json; charset=utf-8" || got.header.Get("Webhook-Signature") == "" {
		t.Errorf("%v", got.header)
	}

	to = newSender(t, r.sink(t, config.CloudEvents, func(s *config.Sink) { s.Mode = config.Binary }))
	if _, err := to.Send(t.Context(), []sinks.Record{record}); err != nil {
		t.Fatal(err)
	}
	got = r.all()[1]
	for name, want := range map[string]string{
		"ce-specversion": "1.0", "ce-id": "a/1", "ce-source": "/keyward/acme", "ce-type": "dev.keyward.key.rotated.v1",
		"ce-subject": "Zo%C3%AB%20%2250%25%22", "ce-time": "2026-11-27T08:00:00.000Z", "ce-sequence": "0007", "ce-number": "7",
		"Content-Type": "application/json", "ce-data": "", "ce-datacontenttype": "", "webhook-signature": "",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q", name, got.header.Get(name))
		}
	}
	if string(got.body) != `{"version":2}` {
		t.Errorf("%s", got.body)
	}
	for _, bad := range []string{`[]`, `{"a-b":"c"}`, `{"data_base64":"%"}`} {
		_, err := to.Send(t.Context(), []sinks.Record{{Body: []byte(bad)}})
		if reasonOf(t, err) != sinks.ReasonRefused {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestAnswers: what each response means.
func TestAnswers(t *testing.T) {
	r := newReceiver(t)
	patient := newSender(t, r.sink(t, config.OTLP, func(s *config.Sink) { s.Timeout = time.Minute }))
	hasty := newSender(t, r.sink(t, config.OTLP, func(s *config.Sink) { s.Timeout = time.Second }))
	release := make(chan struct{})
	defer close(release)
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			_, _ = w.Write([]byte("the body of TOKEN"))
		}
	}
	at := func(in time.Duration) string {
		return time.Unix(exampleInstant, 0).Add(in).UTC().Format(http.TimeFormat)
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		reason sinks.Reason
		after  time.Duration
	}{
		"200":                    {status(200), "", 0},
		"202":                    {status(202), "", 0},
		"204":                    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "", 0},
		"302":                    {status(302, "Location", r.URL+"/elsewhere"), sinks.ReasonRedirect, 0},
		"307":                    {status(307, "Location", "https://elsewhere.example.com"), sinks.ReasonRedirect, 0},
		"400":                    {status(400), sinks.ReasonRefused, 0},
		"413":                    {status(413), sinks.ReasonRefused, 0},
		"422":                    {status(422), sinks.ReasonRefused, 0},
		"431":                    {status(431), sinks.ReasonRefused, 0},
		"401":                    {status(401), sinks.ReasonStatus, 0},
		"404":                    {status(404), sinks.ReasonStatus, 0},
		"408":                    {status(408), sinks.ReasonStatus, 0},
		"410":                    {status(410), sinks.ReasonStatus, 0},
		"425":                    {status(425), sinks.ReasonStatus, 0},
		"429":                    {status(429, "Retry-After", "120"), sinks.ReasonStatus, 2 * time.Minute},
		"429 until an instant":   {status(429, "Retry-After", at(time.Hour)), sinks.ReasonStatus, time.Hour},
		"429 until a past one":   {status(429, "Retry-After", at(-time.Hour)), sinks.ReasonStatus, 0},
		"429 and an invalid one": {status(429, "Retry-After", "-5"), sinks.ReasonStatus, 0},
		"500":                    {status(500), sinks.ReasonStatus, 0},
		"503":                    {status(503, "Retry-After", "7"), sinks.ReasonStatus, 7 * time.Second},
		"nothing":                {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, sinks.ReasonConnection, 0},
		// Not until the request ends: what the handler answers then can still arrive in time.
		"nothing in time": {func(http.ResponseWriter, *http.Request) { <-t.Context().Done() }, sinks.ReasonTimeout, 0},
		"an endless header": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) },
			sinks.ReasonConnection, 0},
		"an endless body": {func(w http.ResponseWriter, _ *http.Request) {
			for range 1 << 10 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r.mu.Lock()
			r.answer = test.answer
			before := len(r.requests)
			r.mu.Unlock()
			to := patient
			if test.reason == sinks.ReasonTimeout {
				to = hasty
			}
			_, err := to.Send(t.Context(), []sinks.Record{example})
			if test.reason == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var failure *sinks.Failure
			if !errors.As(err, &failure) || failure.Reason != test.reason || failure.RetryAfter != test.after {
				t.Errorf("%#v", err)
			}
			if text := err.Error(); strings.Contains(text, "TOKEN") || strings.Contains(text, "/hook") || len(text) > 400 {
				t.Errorf("it shows too much: %s", text)
			}
			for _, request := range r.all()[before:] {
				if request.path != "/hook" {
					t.Errorf("it followed a redirect to %s", request.path)
				}
			}
		})
	}
}

func TestConnections(t *testing.T) {
	r := newReceiver(t)
	send := func(change func(*config.Sink)) sinks.Reason {
		t.Helper()
		_, err := newSender(t, r.sink(t, config.OTLP, change)).Send(t.Context(), []sinks.Record{example})
		if strings.Contains(fmt.Sprint(err), "/hook") {
			t.Errorf("it shows the URL: %v", err)
		}
		return reasonOf(t, err)
	}
	if got := send(func(s *config.Sink) { s.CAFile = "" }); got != sinks.ReasonTLS {
		t.Errorf("an authority that is not known: %s", got)
	}
	if got := send(func(s *config.Sink) { s.ServerName = "receiver.example.org" }); got != sinks.ReasonTLS {
		t.Errorf("another name: %s", got)
	}
	if got := send(func(s *config.Sink) { s.AllowAddresses = nil }); got != sinks.ReasonAddress {
		t.Errorf("loopback: %s", got)
	}
	r.Close()
	if got := send(nil); got != sinks.ReasonConnection {
		t.Errorf("nobody listens: %s", got)
	}
	if len(r.all()) > 0 {
		t.Errorf("%+v", r.all())
	}
}

func TestStdout(t *testing.T) {
	var out bytes.Buffer
	to, err := sender.New(&config.Sink{Type: config.Stdout}, clocktesting.NewFakePassiveClock(time.Now()), &out)
	if err != nil {
		t.Fatal(err)
	}
	records := []sinks.Record{{Body: []byte(`{"a":1}`)}, {Body: []byte("{\n \"b\": 2\n}\n")}}
	if _, err := to.Send(t.Context(), records); err != nil || out.String() != "{\"a\":1}\n{\"b\":2}\n" {
		t.Errorf("%v: %s", err, &out)
	}
	if _, err := to.Send(t.Context(), []sinks.Record{{Body: []byte("{")}}); reasonOf(t, err) != sinks.ReasonRefused {
		t.Error(err)
	}
	broken, _ := sender.New(&config.Sink{Type: config.Stdout}, clocktesting.NewFakePassiveClock(time.Now()), brokenWriter{})
	if _, err := broken.Send(context.Background(), records); reasonOf(t, err) != sinks.ReasonFile {
		t.Error(err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
