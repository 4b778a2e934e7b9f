package sender

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/internal/billing/window"
)

// engine posts usage to a billing engine. Credentials are headers of a file, as for every receiver.
type engine struct {
	*poster
	values config.Values
	prefix string
}

func newEngine(s *config.Sink, clk clock.PassiveClock) (*engine, error) {
	poster, err := newPoster(s, clk)
	return &engine{poster, s.Values, s.MeterPrefix}, err
}

// value returns what the engine is sent of an event.
func (e *engine) value(event *window.Event) int64 {
	if e.values == config.Cumulative {
		return event.Data.Cumulative
	}
	return event.Data.Value
}

func decodeUsage(record *sinks.Record) (*window.Event, error) {
	event, err := window.Decode(record.Body)
	if err != nil {
		return nil, &sinks.Failure{Reason: sinks.ReasonRefused, Err: err}
	}
	return event, nil
}

// openMeter sends batches of CloudEvents. OpenMeter drops events whose source and id it has.
type openMeter struct{ *poster }

// Send implements sinks.Sender.
func (o *openMeter) Send(ctx context.Context, records []sinks.Record) (rejected int, err error) {
	bodies := make([][]byte, 0, len(records))
	for i := range records {
		event, err := decodeUsage(&records[i])
		if err != nil {
			return 0, err
		}
		if event.Subject == "" {
			rejected++ // OpenMeter refuses events without one
			continue
		}
		bodies = append(bodies, records[i].Body)
	}
	if len(bodies) == 0 {
		return rejected, nil
	}
	body := append(append([]byte{'['}, bytes.Join(bodies, []byte{','})...), ']')
	_, err = o.post(ctx, http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, body)
	return rejected, err
}

// stripeAge is how old an event may be: Stripe takes those of the past 35 days.
const stripeAge = 35*24*time.Hour - time.Hour

// stripe sends an event in a request to /v1/billing/meter_events. Stripe refuses an identifier that it has.
type stripe struct{ *engine }

// Send implements sinks.Sender.
func (s *stripe) Send(ctx context.Context, records []sinks.Record) (rejected int, err error) {
	for i := range records {
		event, err := decodeUsage(&records[i])
		if err != nil {
			return 0, err
		}
		if event.Data.Customer == "" || s.clock.Now().Sub(event.Time.Time) > stripeAge {
			rejected++
			continue
		}
		form := url.Values{
			"event_name":                  {s.prefix + event.Data.Meter},
			"identifier":                  {event.ID},
			"timestamp":                   {strconv.FormatInt(event.Time.Unix(), 10)},
			"payload[stripe_customer_id]": {event.Data.Customer},
			"payload[value]":              {strconv.FormatInt(s.value(event), 10)},
		}
		header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Idempotency-Key": {event.ID}}
		text, err := s.post(ctx, header, []byte(form.Encode()))
		if err != nil && (!refusedBy(err) || !isStripeDuplicate(text)) {
			return 0, err
		}
	}
	return rejected, nil
}

// refusedBy reports whether the receiver has refused the request itself.
func refusedBy(err error) bool {
	var failure *sinks.Failure
	return errors.As(err, &failure) && failure.Reason == sinks.ReasonRefused
}

// isStripeDuplicate reports whether a response says that Stripe has an event with the identifier.
func isStripeDuplicate(text []byte) bool {
	var response struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	return json.Unmarshal(text, &response) == nil &&
		(response.Error.Code == "duplicate_meter_event" || strings.Contains(response.Error.Message, "already exists with identifier"))
}

// lago sends batches to /api/v1/events/batch. A batch is taken as a whole or not at all, and an event whose transaction it has is an error.
type lago struct{ *engine }

type lagoEvent struct {
	TransactionID          string         `json:"transaction_id"`
	ExternalSubscriptionID string         `json:"external_subscription_id"`
	Code                   string         `json:"code"`
	Timestamp              string         `json:"timestamp"` // seconds since 1970
	Properties             lagoProperties `json:"properties"`
}

type lagoProperties struct {
	Value  string `json:"value"`
	Group  string `json:"group"`
	Period string `json:"period"`
}

// Send implements sinks.Sender.
func (l *lago) Send(ctx context.Context, records []sinks.Record) (rejected int, err error) {
	events := make([]lagoEvent, 0, len(records))
	for i := range records {
		event, err := decodeUsage(&records[i])
		if err != nil {
			return 0, err
		}
		if event.Data.Subscription == "" {
			rejected++
			continue
		}
		events = append(events, lagoEvent{
			TransactionID: event.ID, ExternalSubscriptionID: event.Data.Subscription, Code: l.prefix + event.Data.Meter,
			Timestamp:  strconv.FormatInt(event.Time.Unix(), 10),
			Properties: lagoProperties{Value: strconv.FormatInt(l.value(event), 10), Group: event.Data.Group, Period: event.Data.Period},
		})
	}
	if len(events) == 0 {
		return rejected, nil
	}
	body, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		return 0, &sinks.Failure{Reason: sinks.ReasonRefused, Err: fmt.Errorf("encoding events: %w", err)}
	}
	text, err := l.post(ctx, http.Header{"Content-Type": {"application/json"}}, body)
	// Of a batch with some that Lago has, it takes none: each is asked for then, until this one is alone.
	if err != nil && (len(events) > 1 || !refusedBy(err) || !isLagoDuplicate(text)) {
		return 0, err
	}
	return rejected, nil
}

// isLagoDuplicate reports whether the only thing that a response complains about is that Lago has the transaction.
func isLagoDuplicate(text []byte) bool {
	var response struct {
		Details json.RawMessage `json:"error_details"`
	}
	if json.Unmarshal(text, &response) != nil {
		return false
	}
	var one map[string][]string
	if json.Unmarshal(response.Details, &one) == nil {
		return onlyDuplicates(one)
	}
	var each map[string]map[string][]string // by the index in the batch
	if json.Unmarshal(response.Details, &each) != nil || len(each) != 1 {
		return false
	}
	for _, one := range each {
		return onlyDuplicates(one)
	}
	return false
}

func onlyDuplicates(problems map[string][]string) bool {
	codes := problems["transaction_id"]
	return len(problems) == 1 && len(codes) == 1 && codes[0] == "value_already_exist"
}
