package usageapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"
	clocktesting "k8s.io/utils/clock/testing"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// FuzzParse: a query is refused with what is wrong, or names one Group, and a key only by day.
func FuzzParse(f *testing.F) {
	for _, raw := range []string{
		"group=acme/acme", "group=acme/acme&by=month&from=2026-01&to=2026-11", "group=acme%2Facme&key=k1", "group=a/b&group=c/d", "", "%zz",
		"group=acme/acme&key=", "group=a;b", "group=acme/acme&by=day&from=2026-11-01&to=9999-12-31",
		"group=acme/acme&by=hour&from=2026-11-21T09:00Z", "group=acme/acme&by=hour&key=k1", "group=acme/acme&by=hour&from=0001-01-01&to=9999-12-31",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		asked, failed := parse(raw, now)
		if failed != nil {
			if failed.status != http.StatusBadRequest && failed.status != http.StatusRequestURITooLong || failed.detail == "" {
				t.Errorf("%+v", failed)
			}
			return
		}
		values, err := url.ParseQuery(raw)
		if err != nil || values.Get("group") != asked.group.String() || asked.key != "" && !asked.query.IsByDay() ||
			(asked.hours != nil) != (values.Get("by") == "hour") || len(asked.key) > maxKeyID {
			t.Errorf("%q is %+v", raw, asked)
		}
	})
}

func TestETags(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, `"a"`: true, `W/"a"`: true, `"b"`: false, `"b", "a"`: true, `"b" , W/"a"`: true, "*": true, `a`: false, `"a`: false,
	} {
		if got := matches([]string{header}, `"a"`); got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
	if matches(nil, `"a"`) || !matches([]string{`"b"`, `"a"`}, `"a"`) {
		t.Error("headers that are repeated")
	}
}

// TestStrangersHaveBounds: any number of tokens, users and addresses takes a bounded amount of memory, and does not evict the users.
func TestStrangersHaveBounds(t *testing.T) {
	a := newAccess(nil, clocktesting.NewFakePassiveClock(now))
	good := token{1}
	a.remember(good, review{&user{Username: "jane"}, now})
	for i := range 5 * maxReviews {
		a.remember(token{2, byte(i), byte(i >> 8)}, review{nil, now})
	}
	if known, fresh := a.known(good, now); known == nil || !fresh || len(a.reviews) > maxReviews {
		t.Errorf("%v, %v, %d reviews", known, fresh, len(a.reviews))
	}
	if _, fresh := a.known(good, now.Add(reviewedFor)); fresh {
		t.Error("a review is valid for longer than it should be")
	}
	for i := range 3 * maxReviews {
		a.remember(token{3, byte(i), byte(i >> 8)}, review{&user{}, now})
	}
	if len(a.reviews) > maxReviews {
		t.Errorf("%d reviews", len(a.reviews))
	}
	l := newLimiters(rate.Every(time.Second), 2)
	for i := range 3 * maxLimiters {
		l.allow(fmt.Sprint("address ", i), now)
	}
	if len(l.each) > maxLimiters || l.left("another", now) {
		t.Errorf("%d limiters; those beyond share one, which is used up", len(l.each))
	}
	if !l.left("another", now.Add(time.Hour)) || len(l.each) != 1 {
		t.Errorf("%d limiters are left an hour later", len(l.each))
	}
}

// TestTLS: the server speaks HTTP/1.1 over TLS, with the certificate that it is given, and ends with its context.
func TestTLS(t *testing.T) {
	other := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer other.Close()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	server := &Server{Clock: clocktesting.NewFakePassiveClock(now), Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &other.TLS.Certificates[0], nil
	}}
	go func() { stopped <- server.serveOn(ctx, listener) }()
	response, err := other.Client().Get("https://" + listener.Addr().String() + "/v1/usage/series?group=a/b")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized || response.TLS == nil || response.ProtoMajor != 1 {
		t.Errorf("%+v", response)
	}
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5": "fe80::/64", "": "", "nothing": "",
	} {
		if got := addressOf(remote); got != want {
			t.Errorf("%s: %s", remote, got)
		}
	}
	_, failed := newAccess(nil, clocktesting.NewFakePassiveClock(now)).authenticate(&http.Request{Header: http.Header{
		"Authorization": {"Bearer " + strings.Repeat("x", maxToken+1)},
	}})
	if failed == nil || failed.status != http.StatusUnauthorized {
		t.Errorf("a long token: %v", failed)
	}
}
