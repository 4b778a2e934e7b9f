package sender

import (
	"context"
	"net/http"

	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

const structured = "application/cloudevents+json; charset=utf-8"

// webhook sends an event in a request, signed as Standard Webhooks says.
type webhook struct {
	*poster
	secretFile string
}

func newWebhook(s *config.Sink, clk clock.PassiveClock) (*webhook, error) {
	poster, err := newPoster(s, clk)
	if err != nil {
		return nil, err
	}
	_, err = readSecrets(s.SecretFile)
	return &webhook{poster, s.SecretFile}, err
}

// Send implements sinks.Sender, for one record.
func (w *webhook) Send(ctx context.Context, records []sinks.Record) (rejected int, err error) {
	secrets, err := readSecrets(w.secretFile)
	if err != nil {
		return 0, &sinks.Failure{Reason: sinks.ReasonFile, Err: err}
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
