package sender

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/egress"
)

const (
	maxResponse = 64 << 10 // so much is read, so that the connection can be used again
	maxFile     = 64 << 10 // of a file with secrets or headers
	maxHeaders  = 16
)

// poster posts bodies to the URL of a sink.
type poster struct {
	url         *url.URL
	headersFile string
	client      *http.Client
	clock       clock.PassiveClock
}

func newPoster(s *config.Sink, clk clock.PassiveClock) (*poster, error) {
	client, err := egress.NewClient(egress.Options{
		Policy: egress.Policy{Allowed: s.AllowAddresses, OnlyAllowed: s.URL.Scheme == "http"},
		CAFile: s.CAFile, ServerName: s.ServerName, Timeout: s.Timeout, Connections: s.Concurrency,
	})
	if err != nil {
		return nil, err
	}
	p := &poster{url: s.URL, headersFile: s.HeadersFile, client: client, clock: clk}
	_, err = p.headers()
	return p, err
}

// Close implements sinks.Sender.
func (p *poster) Close() { p.client.CloseIdleConnections() }

// post sends a body, and returns that of the response, of which it reads as much as is needed. An error is a *sinks.Failure.
func (p *poster) post(ctx context.Context, header http.Header, body []byte) ([]byte, error) {
	configured, err := p.headers()
	if err != nil {
		return nil, &sinks.Failure{Reason: sinks.ReasonFile, Err: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, failed(err, p.url.Hostname())
	}
	request.Header = header
	for name, values := range configured {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", "keyward-manager")
	response, err := p.client.Do(request)
	if err != nil {
		return nil, failed(err, p.url.Hostname())
	}
	defer func() { _ = response.Body.Close() }()
	// A response that does not end is one without a body: the status has said all.
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	return text, judge(response, p.clock.Now())
}

// judge returns what a response means for the events.
func judge(response *http.Response, now time.Time) error {
	status := response.StatusCode
	if status >= 200 && status < 300 {
		return nil
	}
	failure := &sinks.Failure{
		Reason: sinks.ReasonStatus, RetryAfter: retryAfter(response.Header.Get("Retry-After"), now),
		Err: fmt.Errorf("the receiver answers %d %s", status, http.StatusText(status)),
	}
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusRequestHeaderFieldsTooLarge:
		failure.Reason = sinks.ReasonRefused
	default:
		if status >= 300 && status < 400 {
			failure.Reason = sinks.ReasonRedirect
			failure.Err = fmt.Errorf("the receiver answers with a redirect, %d, which is not followed: configure the URL it leads to", status)
		}
	}
	return failure
}

// retryAfter reads seconds or an instant; 0 if there is neither.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// ours are headers that a file with headers cannot set: senders set them, or HTTP does.
var ours = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host", "Idempotency-Key", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"User-Agent", "Webhook-Id", "Webhook-Signature", "Webhook-Timestamp",
}

// headers reads the headers that are added to requests. No error shows what is in the file.
func (p *poster) headers() (http.Header, error) {
	if p.headersFile == "" {
		return nil, nil //nolint:nilnil // there are none
	}
	lines, err := readLines(p.headersFile)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for i, line := range lines {
		name, value, found := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !found || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("line %d of %s is not a header; write Name: value", i+1, p.headersFile)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if slices.Contains(ours, name) || strings.HasPrefix(name, "Ce-") {
			return nil, fmt.Errorf("line %d of %s sets %s, which Keyward sets; remove the line", i+1, p.headersFile, name)
		}
		header.Add(name, value)
	}
	if len(lines) > maxHeaders {
		return nil, fmt.Errorf("%s has more than %d headers", p.headersFile, maxHeaders)
	}
	return header, nil
}

// readLines reads the lines of a small file, without those that are empty.
func readLines(path string) ([]string, error) {
	file, err := os.Open(path) //nolint:gosec // the operator says which file
	if err != nil {
		return nil, fmt.Errorf("reading a file: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading a file: %w", err)
	}
	return splitLines(text, path)
}

// splitLines returns the lines of a small text, without those that are empty.
func splitLines(text []byte, where string) ([]string, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", where, maxFile)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
