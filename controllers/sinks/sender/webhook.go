package sender

import (
	"context"
	"errors"
	"net/http"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

const structured = "application/cloudevents+json; charset=utf-8"

// webhook sends an event in a request, signed as Standard Webhooks says.
type webhook struct {
	*poster
	secrets keyring
}

func (m *Maker) newWebhook(s *config.Sink) (*webhook, error) {
	poster, err := newPoster(s, m.Clock)
	if err != nil {
		return nil, err
	}
	secrets, err := m.newKeyring(s)
	if err == nil && secrets == nil {
		err = errors.New("requests of a Webhook are signed; set secretFile or secretRef")
	}
	return &webhook{poster, secrets}, err
}

// Check implements sinks.Checker.
func (w *webhook) Check(ctx context.Context) error { return w.secrets.check(ctx) }

// Send implements sinks.Sender, for one record.
func (w *webhook) Send(ctx context.Context, records []sinks.Record) (rejected int, err error) {
	secrets, err := w.secrets(ctx)
	if err != nil {
		return 0, err
	}
	for _, record := range records {
		header := http.Header{"Content-Type": {structured}}
		// The instant is that of the attempt: receivers refuse old ones, which could be replays.
		sign(header, secrets, webhookID(record.ID), w.clock.Now(), record.Body)
		if _, err := w.post(ctx, header, record.Body); err != nil {
			return 0, err
		}
	}
	return 0, nil
}
