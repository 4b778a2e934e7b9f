package web_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
)

func TestLogAndMetricsHaveNothingOfAPerson(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	b.get(acme.Of() + "?search=find-me")
	b.send(changes()[0].path, with(changes()[0].form, "description", "describe-me"))
	b.do("FIND-METHOD", "/nothing-here", "")
	lines := strings.Split(strings.TrimSpace(b.log.String()), "\n")
	for _, line := range lines {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range entry {
			names = append(names, name)
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"level", "method", "msg", "route", "status", "time", "took"}) {
			t.Errorf("%q in %s", names, line)
		}
	}
	for _, secret := range []string{"find-me", "describe-me", "FIND-METHOD", "nothing-here", "acme", "team-a", "ada", token, "192.0.2.1"} {
		if strings.Contains(b.log.String(), secret) {
			t.Errorf("the log has %q: %s", secret, b.log)
		}
	}
	if err := testutil.GatherAndCompare(b.metrics, strings.NewReader(`
# HELP keyward_console_requests_total Requests to the console by route and class of the status.
# TYPE keyward_console_requests_total counter
keyward_console_requests_total{class="2xx",route="/groups/{ns}/{group}"} 1
keyward_console_requests_total{class="3xx",route="/groups/{ns}/{group}"} 1
keyward_console_requests_total{class="2xx",route="/groups/{ns}/{group}/new-key"} 1
keyward_console_requests_total{class="3xx",route="/groups/{ns}/{group}/new-key"} 1
keyward_console_requests_total{class="2xx",route="/sign-in"} 1
keyward_console_requests_total{class="3xx",route="/sign-in/token"} 1
keyward_console_requests_total{class="4xx",route="none"} 1
`), "keyward_console_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	for _, path := range []string{"/", "/nothing", acme.Of(), "/sign-in"} {
		got := b.get(path).Header()
		if got.Get("Content-Security-Policy") == "" || got.Get("Strict-Transport-Security") == "" || got.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, got)
		}
	}
	style := strings.Split(strings.Split(b.get("/").Body.String(), `rel="stylesheet" href="`)[1], `"`)[0]
	w := install(t).browser().do(http.MethodGet, style, "")
	if w.Code != http.StatusOK || len(w.Result().Cookies()) != 0 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %d %v", style, w.Code, w.Header())
	}
}

// slowDesk answers when the test says so, or its time is over.
type slowDesk struct {
	desk
	began, end chan struct{}
}

func (d slowDesk) Groups(ctx context.Context, _ web.ListQuery) (page.Groups, error) {
	d.began <- struct{}{}
	select {
	case <-d.end:
		return page.Groups{}, nil
	case <-ctx.Done():
		return page.Groups{}, ctx.Err()
	}
}

func (d slowDesk) Keys(context.Context, place.Group, web.ListQuery) (page.Keys, error) {
	panic("do-not-log-me")
}

func slow(timeout time.Duration) (func(*web.Config), slowDesk) {
	d := slowDesk{began: make(chan struct{}), end: make(chan struct{})}
	return func(config *web.Config) {
		config.AtOnce, config.Timeout = 1, timeout
		inner := config.Desk
		config.Desk = func(of *person.Person) (web.Desk, error) {
			one, err := inner(of)
			d := d
			d.desk, _ = one.(desk)
			return d, err
		}
	}, d
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	config, d := slow(time.Hour)
	i := install(t, config)
	first, second := i.browser().signIn(), i.browser().signIn()
	answered := make(chan *httptest.ResponseRecorder)
	go func() { answered <- first.get("/") }()
	<-d.began
	w := second.get("/")
	want(t, w, http.StatusServiceUnavailable, "Too many requests", "<!doctype html>")
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("%v", w.Header())
	}
	close(d.end)
	want(t, <-answered, http.StatusOK)
	go func() { <-d.began }()
	want(t, second.get("/"), http.StatusOK)
}

func TestARequestHasAnEnd(t *testing.T) {
	t.Parallel()
	config, d := slow(time.Millisecond)
	b := install(t, config).browser().signIn()
	go func() { <-d.began }()
	want(t, b.get("/"), http.StatusServiceUnavailable, "The cluster does not answer")
}

func TestAPanicIsAPage(t *testing.T) {
	t.Parallel()
	config, _ := slow(time.Hour)
	b := install(t, config).browser().signIn()
	want(t, b.get(acme.Of()), http.StatusInternalServerError, "Something unexpected happened.", "<!doctype html>")
	if log := b.log.String(); !strings.Contains(log, "Keys") || strings.Contains(log, "do-not-log-me") {
		t.Errorf("the log: %s", log)
	}
	want(t, b.get(checkout.Of()), http.StatusOK)
}

// TestTheServerBoundsHeads asks for more than a browser does.
func TestTheServerBoundsHeads(t *testing.T) {
	t.Parallel()
	i := install(t)
	server := httptest.NewUnstartedServer(nil)
	server.Config = web.NewServer(i.handler, 0, slog.New(slog.DiscardHandler))
	server.Start()
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/sign-in", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", "a="+strings.Repeat("x", 64<<10))
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(response.Status)
	}
	if s := server.Config; s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout <= web.DefaultTimeout || s.IdleTimeout == 0 {
		t.Errorf("%+v", s)
	}
}

// TestRequestsOfOnePersonAreBounded: who has half of all requests answered at a time keeps nobody else out, and nobody is counted for ever.
func TestRequestsOfOnePersonAreBounded(t *testing.T) {
	t.Parallel()
	config, d := slow(time.Hour)
	i := install(t, config, func(c *web.Config) {
		c.AtOnce = 4
		verify := c.Verify
		c.Verify = func(ctx context.Context, sent string) (session.Claims, error) {
			if sent == "token-of-ben" {
				return session.Claims{Name: "ben", Credential: session.NewCredential(sent)}, nil
			}
			return verify(ctx, sent)
		}
	})
	ada, again, ben := i.browser().signIn(), i.browser().signIn(), i.browser()
	ben.post("/sign-in/token", formToken(t, ben.get("/sign-in")), url.Values{"token": {"token-of-ben"}})
	answered := make(chan *httptest.ResponseRecorder)
	for range 2 {
		go func() { answered <- ada.get("/") }()
		<-d.began
	}
	w := again.get("/")
	want(t, w, http.StatusServiceUnavailable, "Too many of your requests", "<!doctype html>")
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("%v", w.Header())
	}
	go func() { answered <- ben.get("/") }()
	<-d.began
	close(d.end)
	for range 3 {
		want(t, <-answered, http.StatusOK)
	}
	for range 3 {
		go func() { <-d.began }()
		want(t, again.get("/"), http.StatusOK)
	}
}

// TestRequestsWithoutASessionAreBounded: who sends many forms slowly, without a session, keeps nobody out who has one, and of others those of the same
// address, for that long.
func TestRequestsWithoutASessionAreBounded(t *testing.T) {
	t.Parallel()
	i := install(t, func(c *web.Config) { c.AtOnce = 8 })
	const address, beside, elsewhere = "2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"
	at := func(b *browser, address string) *browser {
		b.headers["Test-Address"] = address
		return b
	}
	signedIn := at(i.browser(), address).signIn()
	answered := make(chan int)
	slowly := func(from string) (end func()) {
		read, write := io.Pipe()
		r := at(i.browser(), from).own(httptest.NewRequest(http.MethodPost, origin+"/sign-in/token", read))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		go func() {
			w := httptest.NewRecorder()
			i.handler.ServeHTTP(w, r)
			answered <- w.Code
		}()
		if _, err := write.Write([]byte("t")); err != nil { // it is being read
			t.Error(err)
		}
		return func() { _ = write.Close() }
	}
	var ends []func()
	for range 4 {
		ends = append(ends, slowly(address))
	}
	for _, from := range []string{address, beside} {
		w := at(i.browser(), from).get("/sign-in")
		want(t, w, http.StatusTooManyRequests, "Too many requests from your address", "<!doctype html>")
		if w.Header().Get("Retry-After") != "1" {
			t.Errorf("%v", w.Header())
		}
	}
	want(t, at(i.browser(), elsewhere).get("/sign-in"), http.StatusOK)
	want(t, signedIn.get("/"), http.StatusOK)
	for range 2 {
		ends = append(ends, slowly(elsewhere))
	}
	want(t, at(i.browser(), "192.0.2.9").get("/sign-in"), http.StatusServiceUnavailable, "Too many requests are being answered")
	want(t, signedIn.get("/"), http.StatusOK)
	for n, end := range ends {
		if end(); <-answered != http.StatusForbidden {
			t.Errorf("request %d", n)
		}
	}
	for range 20 {
		want(t, at(i.browser(), address).get("/sign-in"), http.StatusOK)
		want(t, signedIn.get("/"), http.StatusOK)
	}
}
