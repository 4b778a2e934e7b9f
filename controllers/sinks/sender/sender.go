// Package sender sends events to sinks: a sender for each type.
package sender

import (
	"fmt"
	"io"

	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

// Maker makes senders.
type Maker struct {
	Clock clock.PassiveClock
	// Stdout is where a sink of that type writes.
	Stdout io.Writer
	// Secrets are those that sinks can name; nil for none.
	Secrets Secrets
}

// New returns the sender of a sink that names no Secret.
func New(s *config.Sink, clk clock.PassiveClock, stdout io.Writer) (sinks.Sender, error) {
	return (&Maker{Clock: clk, Stdout: stdout}).New(s)
}

// New returns the sender of a sink. It reads the files that the sink names, so that what is wrong with them is known at once. A Secret is read
// by whoever sends.
func (m *Maker) New(s *config.Sink) (sinks.Sender, error) {
	var (
		sender sinks.Sender
		err    error
	)
	switch s.Type {
	case config.File:
		return &file{path: s.Path, rotateBytes: s.RotateBytes, keep: s.RotateKeep}, nil
	case config.Stdout:
		return &stream{m.Stdout}, nil
	case config.Webhook:
		sender, err = m.newWebhook(s)
	case config.OTLP:
		sender, err = newOTLP(s, m.Clock)
	case config.CloudEvents:
		sender, err = m.newCloudEvents(s)
	case config.OpenMeter:
		to, problem := newPoster(s, m.Clock)
		sender, err = &openMeter{to}, problem
	case config.Stripe, config.Lago:
		to, problem := newEngine(s, m.Clock)
		sender, err = &stripe{to}, problem
		if s.Type == config.Lago {
			sender = &lago{to}
		}
	default:
		err = fmt.Errorf("there is no type %q", s.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	return sender, nil
}
