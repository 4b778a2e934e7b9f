package sender

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

// readAgain is how long what was read of a Secret is used, and how long one that cannot be read is not asked for again.
const readAgain = time.Minute

var errNoSecrets = errors.New("secretRef: no Secrets can be read here; use secretFile")

// Secrets reads entries of Secrets. No error shows what is in a Secret.
type Secrets interface {
	Entry(ctx context.Context, name, key string) ([]byte, error)
}

// keyring returns the secrets with which requests are signed. An error is a *sinks.Failure, and then nothing may be sent.
type keyring func(ctx context.Context) ([][]byte, error)

// newKeyring returns the keyring of a sink; nil if its requests are not signed. A file is read at once, so that what is wrong with it is known.
func (m *Maker) newKeyring(s *config.Sink) (keyring, error) {
	switch {
	case s.SecretRef != config.SecretRef{}:
		if m.Secrets == nil {
			return nil, errNoSecrets
		}
		return (&referenced{ref: s.SecretRef, secrets: m.Secrets, clock: m.Clock}).read, nil
	case s.SecretFile != "":
		_, err := readSecrets(s.SecretFile)
		return func(context.Context) ([][]byte, error) {
			secrets, err := readSecrets(s.SecretFile)
			if err != nil {
				return nil, &sinks.Failure{Reason: sinks.ReasonFile, Err: err}
			}
			return secrets, nil
		}, err
	}
	return nil, nil
}

// check reports whether the secrets can be read, if there are any.
func (k keyring) check(ctx context.Context) error {
	if k == nil {
		return nil
	}
	_, err := k(ctx)
	return err
}

// referenced are the secrets in an entry of a Secret, which is read again after a while, so that it can be rotated, or corrected.
//
// mu guards what follows it. Whoever reads the Secret holds it: several requests at a time read it once. known is a function so that
// nothing that formats a sender shows secrets.
type referenced struct {
	ref     config.SecretRef
	secrets Secrets
	clock   clock.PassiveClock

	mu    sync.Mutex
	at    time.Time
	known func() ([][]byte, error)
}

func (r *referenced) read(ctx context.Context) ([][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.clock.Now(); r.known == nil || now.Sub(r.at) >= readAgain || now.Before(r.at) {
		secrets, err := r.ask(ctx)
		if ctx.Err() != nil {
			return nil, &sinks.Failure{Reason: sinks.ReasonSecret, Err: ctx.Err()}
		}
		r.at, r.known = now, func() ([][]byte, error) { return secrets, err }
	}
	secrets, err := r.known()
	if err != nil {
		return nil, &sinks.Failure{Reason: sinks.ReasonSecret, Err: err}
	}
	return secrets, nil
}

func (r *referenced) ask(ctx context.Context) ([][]byte, error) {
	entry, err := r.secrets.Entry(ctx, r.ref.Name, r.ref.Key)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("the entry %q of Secret %s", r.ref.Key, r.ref.Name)
	lines, err := splitLines(entry, what)
	if err != nil {
		return nil, err
	}
	return parseSecrets(lines, what)
}
