// Package sender sends events to sinks: a sender for each type.
package sender

import (
	"fmt"
	"io"

	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

// New returns the sender of a sink. It reads the files that the sink names, so that what is wrong with them is known at once.
func New(s *config.Sink, clk clock.PassiveClock, stdout io.Writer) (sinks.Sender, error) {
	var (
		sender sinks.Sender
		err    error
	)
	switch s.Type {
	case config.File:
		return &file{path: s.Path, rotateBytes: s.RotateBytes, keep: s.RotateKeep}, nil
	case config.Stdout:
		return &stream{stdout}, nil
	case config.Webhook:
		sender, err = newWebhook(s, clk)
	case config.OTLP:
		sender, err = newOTLP(s, clk)
	case config.CloudEvents:
		sender, err = newCloudEvents(s, clk)
	case config.OpenMeter:
		to, problem := newPoster(s, clk)
		sender, err = &openMeter{to}, problem
	case config.Stripe, config.Lago:
		to, problem := newEngine(s, clk)
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
