package sender_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
)

// oneSecret has one Secret, or none.
type oneSecret struct {
	mu    sync.Mutex
	entry string
	err   error
	reads int
}

func (o *oneSecret) Entry(_ context.Context, name, key string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reads++
	if name != "keyward-sinks" || key != "siem" {
		return nil, fmt.Errorf("asked for %s, %s", name, key)
	}
	return []byte(o.entry), o.err
}

func (o *oneSecret) set(entry string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entry, o.err = entry, err
}

func byReference(s *config.Sink) { s.SecretRef = config.SecretRef{Name: "keyward-sinks", Key: "siem"} }

// TestSecretRef: a Secret signs; one that is rotated does within a minute, without more reads than one a minute.
func TestSecretRef(t *testing.T) {
	r, secret := newReceiver(t), &oneSecret{entry: exampleSecret + "\n"}
	clk := clocktesting.NewFakePassiveClock(time.Unix(exampleInstant, 0))
	to, err := (&sender.Maker{Clock: clk, Secrets: secret}).New(r.sink(t, config.Webhook, byReference))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if secret.reads != 0 {
		t.Error("it reads the Secret before it sends: replicas that do not lead need none")
	}
	send := func() string {
		t.Helper()
		if _, err := to.Send(t.Context(), []sinks.Record{example}); err != nil {
			t.Fatal(err)
		}
		all := r.all()
		return all[len(all)-1].header.Get("webhook-signature")
	}
	for range 5 {
		if got := send(); got != exampleSignature {
			t.Fatal(got)
		}
	}
	if secret.reads != 1 {
		t.Errorf("the Secret is read %d times", secret.reads)
	}
	secret.set("whsec_"+strings.Repeat("QUJD", 11)+"\n"+exampleSecret+"\n", nil)
	clk.SetTime(clk.Now().Add(59 * time.Second))
	if got := send(); strings.Contains(got, " ") {
		t.Errorf("%s: it was read again before a minute was over", got)
	}
	clk.SetTime(clk.Now().Add(time.Second))
	if got := strings.Fields(send()); len(got) != 2 || secret.reads != 2 {
		t.Errorf("%q after %d reads", got, secret.reads)
	}
	// A clock that was set back does not keep an old secret for as long.
	secret.set(exampleSecret, nil)
	clk.SetTime(time.Unix(exampleInstant, 0))
	if got := send(); got != exampleSignature {
		t.Errorf("%s after the clock was set back", got)
	}
}

// TestSecretRefIsUnknown: without a usable Secret nothing is sent, and what was missing is, once there is one. Nothing shows a secret.
func TestSecretRefIsUnknown(t *testing.T) {
	for _, kind := range []config.Type{config.Webhook, config.CloudEvents} {
		t.Run(string(kind), func(t *testing.T) {
			r, secret := newReceiver(t), &oneSecret{err: errors.New("there is no Secret keyward-system/keyward-sinks; create it")}
			clk := clocktesting.NewFakePassiveClock(time.Unix(exampleInstant, 0))
			sink := r.sink(t, kind, func(s *config.Sink) {
				byReference(s)
				s.Mode = config.Batch
			})
			to, err := (&sender.Maker{Clock: clk, Secrets: secret}).New(sink)
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			checker, can := to.(sinks.Checker)
			if !can {
				t.Fatal("nobody can know before there is an event")
			}
			fails := func(says string) {
				t.Helper()
				_, err := to.Send(t.Context(), []sinks.Record{example})
				if reasonOf(t, err) != sinks.ReasonSecret || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "TOKEN") {
					t.Errorf("%v", err)
				}
				if err := checker.Check(t.Context()); reasonOf(t, err) != sinks.ReasonSecret {
					t.Error(err)
				}
				clk.SetTime(clk.Now().Add(time.Minute))
			}
			fails("create it")
			secret.set("TOKEN", nil)
			fails("line 1 of the entry \"siem\" of Secret keyward-sinks is not a secret; write whsec_")
			secret.set("", nil)
			fails("has 0 secrets")
			secret.set(strings.Repeat("TOKEN", 20_000), nil)
			fails("more than 65536 bytes")
			reads := secret.reads
			secret.set(exampleSecret, nil)
			if err := checker.Check(t.Context()); err != nil || secret.reads != reads+1 {
				t.Errorf("%v, %d reads", err, secret.reads-reads)
			}
			if len(r.all()) > 0 {
				t.Fatalf("it has sent without a signature: %+v", r.all())
			}
			if _, err := to.Send(t.Context(), []sinks.Record{example}); err != nil || r.all()[0].header.Get("Webhook-Signature") == "" {
				t.Errorf("%v, %+v", err, r.all())
			}
			secret.set("", errors.New("it was deleted"))
			clk.SetTime(clk.Now().Add(time.Minute))
			fails("it was deleted")
			if len(r.all()) != 1 {
				t.Errorf("%d requests", len(r.all()))
			}
		})
	}
}

// TestSecretRefIsNotShown: nothing that formats a sink or its sender shows the secret.
func TestSecretRefIsNotShown(t *testing.T) {
	r, secret := newReceiver(t), &oneSecret{entry: exampleSecret}
	clk := clocktesting.NewFakePassiveClock(time.Unix(exampleInstant, 0))
	sink := r.sink(t, config.Webhook, byReference)
	to, err := (&sender.Maker{Clock: clk, Secrets: secret}).New(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := to.Send(t.Context(), []sinks.Record{example}); err != nil {
		t.Fatal(err)
	}
	const raw = "49 242 144 246" // how the secret begins, as numbers
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", to, to, to), fmt.Sprintf("%+v %#v", sink, *sink)} {
		if strings.Contains(text, "MfKQ") || strings.Contains(text, raw) {
			t.Errorf("it shows the secret: %s", text)
		}
	}
	if text, err := json.Marshal(sink.SecretRef); err != nil || string(text) != `{"name":"keyward-sinks","key":"siem"}` {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := sender.New(sink, clk, io.Discard); err == nil || !strings.Contains(err.Error(), "secretFile") {
		t.Errorf("%v: a sender that can read no Secrets", err)
	}
}
