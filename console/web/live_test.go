package web_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/web"
)

// serving is the installation on a socket: what a recorder gets comes at once.
type serving struct {
	*browser
	server *httptest.Server
}

func (b *browser) serve() *serving {
	server := httptest.NewServer(b.handler)
	b.t.Cleanup(server.Close)
	return &serving{b, server}
}

// opened is a response that may not end.
type opened struct {
	*http.Response
	in *bufio.Reader
}

// open sends a request as a script of a page does.
func (s *serving) open(ctx context.Context, path string) opened {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = strings.TrimPrefix(origin, "https://")
	s.own(r).Header.Set("Sec-Fetch-Mode", "cors")
	response, err := s.server.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = response.Body.Close() })
	return opened{response, bufio.NewReader(response.Body)}
}

func event(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	text := ""
	for !strings.HasSuffix(text, "\n\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
		text += line
	}
	return text
}

// TestStream: a page gets its versions as they come, and the stream keeps nobody else from being answered.
func TestStream(t *testing.T) {
	t.Parallel()
	b := install(t, func(c *web.Config) { c.AtOnce = 1 }).browser().signIn()
	b.follows = make(chan string)
	b.get(checkout.Of())
	s := b.serve()
	response := s.open(t.Context(), checkout.Of("live"))
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" ||
		response.Header.Get("Cache-Control") != "no-store" || len(response.Cookies()) > 0 {
		t.Fatalf("%s %v", response.Status, response.Header)
	}
	in := response.in
	if got := event(t, in); got != "retry: 1000\n\n" {
		t.Errorf("%q", got)
	}
	for _, version := range []string{"7", "8"} {
		b.follows <- version
		if got := event(t, in); got != "event: version\ndata: "+version+"\n\n" {
			t.Errorf("%q", got)
		}
		want(t, b.get(checkout.Of()), http.StatusOK, "kw_live_…9f3a")
	}
	if got, err := testutil.GatherAndCount(b.metrics, "keyward_console_streams"); got != 1 || err != nil {
		t.Errorf("%d metrics, %v", got, err)
	}
	close(b.follows)
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("it ends with %q, %v", rest, err)
	}
}

func TestStreamsAreRefused(t *testing.T) {
	t.Parallel()
	b := install(t).browser()
	b.follows = make(chan string)
	s := b.serve()
	if got := s.open(t.Context(), checkout.Of("live")); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("before a sign-in: %s", got.Status)
	}
	b.signIn()
	if got := s.open(t.Context(), checkout.Of("live")); got.StatusCode != http.StatusConflict {
		t.Errorf("where no Group is chosen: %s", got.Status)
	}
	b.get(other.Of())
	for _, path := range []string{checkout.Of(), checkout.Of("live")} { // a page in the background
		if got := s.open(t.Context(), path); got.StatusCode != http.StatusConflict || len(got.Cookies()) > 0 {
			t.Errorf("where another Group is chosen: %s, %v", got.Status, got.Cookies())
		}
	}
	b.get(checkout.Of())
	for failure, status := range map[error]int{web.ErrForbidden: http.StatusForbidden, web.ErrNotFound: http.StatusNotFound,
		errors.New("no answer"): http.StatusInternalServerError} {
		b.fails = failure
		if got := s.open(t.Context(), checkout.Of("live")); got.StatusCode != status || strings.Contains(got.Header.Get("Content-Type"), "event-stream") {
			t.Errorf("%v: %s", failure, got.Status)
		}
	}
	b.fails = nil
	const most = 16
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range most {
		if got := s.open(ctx, checkout.Of("live")); got.StatusCode != http.StatusOK {
			t.Fatal(got.Status)
		}
	}
	got := s.open(t.Context(), checkout.Of("live"))
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s %v", got.Status, got.Header)
	}
	stop() // the pages are left
	for s.open(t.Context(), checkout.Of("live")).StatusCode != http.StatusOK {
		if t.Context().Err() != nil {
			t.Fatal("streams of pages that were left are counted for ever")
		}
	}
}

// TestStreamsEndWithTheServer, so that it need not wait for them.
func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	b.follows = make(chan string)
	b.get(checkout.Of())
	response := b.serve().open(t.Context(), checkout.Of("live"))
	in := response.in
	event(t, in)
	b.handler.(*web.Pages).EndStreams()
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("it ends with %q, %v", rest, err)
	}
}

// TestOnlyPagesOfKeysAreLive, and name the stream and what they show.
func TestOnlyPagesOfKeysAreLive(t *testing.T) {
	var text strings.Builder
	if err := (page.KeyDetail{Version: "42", Live: checkout.Of("live")}).Write(&text, page.Frame{Title: "checkout"}); err != nil ||
		!strings.Contains(text.String(), `data-live="`+checkout.Of("live")+`" data-version="42"`) {
		t.Errorf("%v: %s", err, text.String())
	}
	text.Reset()
	if err := (page.KeyDetail{}).Write(&text, page.Frame{}); err != nil || strings.Contains(text.String(), "data-live") {
		t.Errorf("%v: %s", err, text.String())
	}
}
