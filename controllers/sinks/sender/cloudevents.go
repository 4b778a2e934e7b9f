package sender

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

const batched = "application/cloudevents-batch+json; charset=utf-8"

// cloudEvents sends events by the HTTP protocol binding of CloudEvents.
type cloudEvents struct {
	*poster
	mode    config.Mode
	secrets keyring // nil if requests are not signed
}

func (m *Maker) newCloudEvents(s *config.Sink) (*cloudEvents, error) {
	poster, err := newPoster(s, m.Clock)
	if err != nil {
		return nil, err
	}
	secrets, err := m.newKeyring(s)
	return &cloudEvents{poster, s.Mode, secrets}, err
}

// Check implements sinks.Checker.
func (c *cloudEvents) Check(ctx context.Context) error { return c.secrets.check(ctx) }

// Send implements sinks.Sender.
func (c *cloudEvents) Send(ctx context.Context, records []sinks.Record) (rejected int, err error) {
	if c.mode == config.Batch {
		return 0, c.sendBatch(ctx, records)
	}
	for _, record := range records {
		header, data, err := binary(record.Body)
		if err != nil {
			return 0, &sinks.Failure{Reason: sinks.ReasonRefused, Err: err}
		}
		if _, err := c.post(ctx, header, data); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func (c *cloudEvents) sendBatch(ctx context.Context, records []sinks.Record) error {
	var body bytes.Buffer
	body.WriteByte('[')
	for i, record := range records {
		if i > 0 {
			body.WriteByte(',')
		}
		body.Write(record.Body)
	}
	body.WriteByte(']')
	header := http.Header{"Content-Type": {batched}}
	if c.secrets != nil {
		secrets, err := c.secrets(ctx)
		if err != nil {
			return err
		}
		sign(header, secrets, hashID("batch_", body.Bytes()), c.clock.Now(), body.Bytes())
	}
	_, err := c.post(ctx, header, body.Bytes())
	return err
}

var attributeName = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// binary returns an event in the binary content mode: attributes as headers, the data as the body.
func binary(event []byte) (http.Header, []byte, error) {
	attributes, err := decode(event)
	if err != nil {
		return nil, nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	var body []byte
	for name, value := range attributes {
		switch {
		case string(value) == "null":
		case name == "data":
			body = value
		case name == "data_base64":
			if body, err = base64.StdEncoding.DecodeString(text(value)); err != nil {
				return nil, nil, errors.New("the data of the event is not in base64")
			}
		case name == "datacontenttype":
			header.Set("Content-Type", text(value))
		case !attributeName.MatchString(name):
			return nil, nil, fmt.Errorf("the event has the attribute %q, which is no name of an attribute", name)
		default:
			header.Set("Ce-"+name, percentEncode(text(value)))
		}
	}
	return header, body, nil
}

// decode returns the attributes of an event, and its data.
func decode(event []byte) (map[string]json.RawMessage, error) {
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal(event, &attributes); err != nil {
		return nil, fmt.Errorf("the event is not a JSON object: %w", err)
	}
	return attributes, nil
}

// text is the value of an attribute: a string without its quotes, a number or a truth value as it is written.
func text(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	return string(value)
}

// percentEncode encodes what headers of CloudEvents cannot have.
func percentEncode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
