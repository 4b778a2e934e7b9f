package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/test/fixture"
)

func serve(t *testing.T) (url, key string) {
	t.Helper()
	return serveTo(t, nil)
}

// serveTo trusts applications at some addresses. Two failures a minute are not too many.
func serveTo(t *testing.T, clients *clientaddr.Resolver) (url, key string) {
	t.Helper()
	minted, mux := fixture.Mint(t), http.NewServeMux()
	limit := throttle.New(throttle.Config{Failures: 2, IPv6Prefix: 64})
	Register(mux, fixture.Authorizer(t, fixture.Update(minted), authorizer.WithThrottle(limit)), clients)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/v1/verify", minted.Reveal()
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	status, _, text := fixture.Post(t, url, body)
	return status, text
}

func TestVerdict(t *testing.T) {
	url, key := serve(t)
	for _, c := range []struct{ request, code string }{
		{`{"key":"KEY","method":"GET","path":"/x"}`, "allowed"},
		{`{"key":"KEY","method":"GET","url":"https://acme.com"}`, "allowed"},
		{`{"key":"KEY","method":"GET","url":"HTTP://acme.com?x=1#y"}`, "allowed"},
		{`{"headers":{"authorization":"Bearer KEY"},"method":"GET","path":"/x"}`, "allowed"},
		{`{"headers":{"x-api-key":["KEY"]},"method":"GET","host":"h","path":"/x","query":"?a=b","project":"default"}`, "allowed"},
		{`{"key":"KEY","method":"GET","path":"/x","origin":"https://evil.com"}`, "origin_denied"},
		{`{"key":"KEY","method":"GET","path":"/x","referer":"https://evil.com/"}`, "origin_denied"},
		{`{"key":"KEY","method":"POST","path":"/x"}`, "permission_denied"},
		{`{"key":"KEY","method":"GET","path":"/x/../y"}`, "path_ambiguous"},
		{`{"key":"KEY","method":"GET","path":"/x","project":"nope"}`, "project_unknown"},
		{`{"key":"KEY ","method":"GET","path":"/x"}`, "key_malformed"},
		{`{"key":"","method":"GET","path":"/x"}`, "key_malformed"},
		{`{"key":null,"method":"GET","path":"/x"}`, "key_missing"},
		{`{"headers":{"authorization":["Bearer KEY","Bearer KEY"]},"method":"GET","path":"/x"}`, "key_malformed"},
		{`{"headers":{"authorization":"Bearer KEY","Authorization":"Bearer KEY"},"method":"GET","path":"/x"}`, "key_malformed"},
	} {
		status, body := post(t, url, strings.ReplaceAll(c.request, "KEY", key))
		var verdict adminv1.Verdict
		if err := json.Unmarshal([]byte(body), &verdict); err != nil || status != http.StatusOK || verdict.Code != c.code ||
			verdict.Allowed != (c.code == "allowed") {
			t.Errorf("%s: %d %s", c.request, status, body)
		}
		if verdict.Allowed != (verdict.KeyID == "k1" && verdict.Group == "tenants/acme" && verdict.Project == "default" &&
			verdict.Headers["X-Keyward-Key-Id"] == "k1") {
			t.Errorf("%s: %s", c.request, body)
		}
	}
}

func TestInvalidRequestsNameTheField(t *testing.T) {
	url, key := serve(t)
	for _, c := range []struct {
		request, hint string
	}{
		{``, "one JSON object"},
		{`[]`, "one JSON object"},
		{`{"key":"KEY"`, "one JSON object"},
		{`{"key":"KEY","method":"GET","path":"/x"} {}`, "nothing after it"},
		{`{"key":"KEY","path":"/x"}`, "method: "},
		{`{"key":"KEY","method":"GET"}`, "path: "},
		{`{"key":"KEY","method":"GET","path":"/x?y"}`, "path: "},
		{`{"key":"KEY","method":"GET","url":"/x"}`, "url: "},
		{`{"key":"KEY","method":"GET","url":"https://"}`, "url: "},
		{`{"key":"KEY","method":"GET","url":"https://a@b/"}`, "url: "},
		{`{"key":"KEY","method":"GET","url":"https://a/","path":"/"}`, "url: "},
		{`{"key":"KEY","method":1,"path":"/x"}`, "method: "},
		{`{"key":"KEY","method":"GET","path":"/x","cost":-1}`, "cost: "},
		{`{"key":"KEY","method":"GET","path":"/x","cost":1001}`, "cost: "},
		{`{"key":"KEY","method":"GET","path":"/x","cost":1.5}`, "cost: "},
		{`{"key":"KEY","method":"GET","path":"/x","cost":"1"}`, "cost: "},
		{`{"key":["KEY"],"method":"GET","path":"/x"}`, "key"},
		{`{"key":{"KEY":"KEY"},"method":"GET","path":"/x"}`, "key"},
		{`{"headers":{"authorization":{"KEY":1}},"method":"GET","path":"/x"}`, "headers"},
		{`{"headers":{"Cookie":"KEY"},"method":"GET","path":"/x"}`, "headers: "},
		{`{"KEY":"x","method":"GET","path":"/x"}`, "unknown field"},
		{`{"key":"KEY","method":"GET","Path":"/x"}`, "unknown field"},
		{`{"key":"KEY","method":"GET","path":"/x","PATH":"/y"}`, "unknown field"},
		{`{"key":"x","key":"KEY","method":"GET","path":"/x"}`, "twice"},
		{`{"key":"KEY","method":"GET","path":"/x","path":"/y"}`, "twice"},
		{`{"headers":{"origin":"https://a","origin":"https://b"},"key":"KEY","method":"GET","path":"/x"}`, "twice"},
		{`{"key":"KEY","headers":{"x-api-key":"KEY"},"method":"GET","path":"/x"}`, "key: "},
		{`{"origin":"https://a","headers":{"origin":"https://a"},"method":"GET","path":"/x"}`, "origin: "},
	} {
		status, body := post(t, url, strings.ReplaceAll(c.request, "KEY", key))
		if status != http.StatusBadRequest || !strings.Contains(body, c.hint) || !strings.Contains(body, `"request_invalid"`) {
			t.Errorf("%s: %d %s, want a word about %q", c.request, status, body, c.hint)
		}
		if strings.Contains(body, key) {
			t.Errorf("%s: the response contains the key", c.request)
		}
	}
	if status, body := post(t, url, `{"key":"`+strings.Repeat("x", maxBody)+`"}`); status != http.StatusRequestEntityTooLarge ||
		!strings.Contains(body, "65536") {
		t.Errorf("too large: %d %s", status, body)
	}
}

func TestRequestsPrintNoKey(t *testing.T) {
	_, key := serve(t)
	var q verifyRequest
	if err := json.Unmarshal([]byte(`{"key":"`+key+`","headers":{"authorization":"`+key+`"}}`), &q); err != nil {
		t.Fatal(err)
	}
	encoded, _ := json.Marshal(q.Headers)
	if printed := fmt.Sprintf("%v %+v %#v %v", q, q, q, &q) + string(encoded); strings.Contains(printed, key) {
		t.Errorf("printed: %s", printed)
	}
}

// TestOnlyTrustedApplicationsReportAddresses: anybody else could have failures counted for any client, whose own
// requests would get 429.
func TestOnlyTrustedApplicationsReportAddresses(t *testing.T) {
	trusted := func(prefix string) *clientaddr.Resolver {
		return clientaddr.New([]netip.Prefix{netip.MustParsePrefix(prefix)}, clientaddr.HeaderXForwardedFor)
	}
	for name, c := range map[string]struct {
		clients *clientaddr.Resolver
		address string
		last    string // of three failures
	}{
		"nobody is trusted":      {nil, "192.0.2.1", `"status":401`},
		"another is trusted":     {trusted("10.0.0.0/8"), "192.0.2.1", `"status":401`},
		"trusted":                {trusted("127.0.0.0/8"), "192.0.2.1", `"status":429`},
		"trusted, of itself":     {trusted("127.0.0.0/8"), "127.0.0.1", `"status":401`},
		"trusted, of nobody":     {trusted("127.0.0.0/8"), "", `"status":401`},
		"not trusted, of nobody": {nil, "", `"status":401`},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := serveTo(t, c.clients)
			for i := range 3 {
				status, body := post(t, url, `{"method":"GET","path":"/","clientAddress":"`+c.address+`"}`)
				if want := map[bool]string{true: c.last, false: `"status":401`}[i == 2]; status != http.StatusOK ||
					!strings.Contains(body, want) {
					t.Errorf("failure %d: %d %s, want %s", i, status, body, want)
				}
			}
		})
	}
}

// spender notes what requests cost.
type spender struct{ costs []uint64 }

func (s *spender) Spend(_ context.Context, _ *decision.Group, _ string, cost uint64, _ time.Time) (decision.Code, time.Duration) {
	s.costs = append(s.costs, cost)
	return decision.Allowed, 0
}

func (*spender) Sent(string, uint64, time.Time) {}

// TestOnlyTrustedApplicationsSayCosts: anybody else could have requests count as nothing, or use up the quota.
func TestOnlyTrustedApplicationsSayCosts(t *testing.T) {
	for prefix, trusted := range map[string]bool{"10.0.0.0/8": false, "127.0.0.0/8": true} {
		counted, minted, mux := &spender{}, fixture.Mint(t), http.NewServeMux()
		Register(mux, fixture.Authorizer(t, fixture.Update(minted), authorizer.WithQuota(counted)),
			clientaddr.New([]netip.Prefix{netip.MustParsePrefix(prefix)}, clientaddr.HeaderXForwardedFor))
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		for _, cost := range []string{`,"cost":0`, `,"cost":1000`, ``, `,"cost":null`} {
			status, body := post(t, server.URL+"/v1/verify", `{"key":"`+minted.Reveal()+`","method":"GET","path":"/x"`+cost+`}`)
			refused := !trusted && (cost == `,"cost":0` || cost == `,"cost":1000`)
			if refused && (status != http.StatusBadRequest || !strings.Contains(body, "--trusted-proxies")) || !refused && status != http.StatusOK {
				t.Errorf("%s of %s: %d %s", cost, prefix, status, body)
			}
		}
		want := []uint64{1, 1}
		if trusted {
			want = []uint64{0, 1000, 1, 1}
		}
		if !slices.Equal(counted.costs, want) {
			t.Errorf("%s: %v, want %v", prefix, counted.costs, want)
		}
	}
}
