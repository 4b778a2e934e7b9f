package decisionlog

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func request(id string) *authorizer.Request {
	return &authorizer.Request{ID: id, Request: decision.Request{Method: "GET", Host: "cdn.acme.example", Path: "/secret-path",
		RawQuery: "secret-query", Origin: "https://www.acme.example"}}
}

func denied(code decision.Code) *authorizer.Result {
	return &authorizer.Result{Decision: decision.Decision{Code: code, Key: decision.Key{ID: "k1"},
		Group: &decision.Group{Identity: "tenants/acme"}}}
}

func TestLatestDecisionsAreKept(t *testing.T) {
	ring := newRing(3)
	if got := ring.Find(Query{Limit: 9}); len(got) != 0 {
		t.Errorf("before anything was decided: %v", got)
	}
	for i := range 8 {
		ring.Record("test", now.Add(time.Duration(i)), request(fmt.Sprintf("r%d", i)), denied(decision.KeyExpired))
	}
	var ids []string
	for _, d := range ring.Find(Query{Limit: 9}) {
		ids = append(ids, d.RequestID)
	}
	if got := strings.Join(ids, " "); got != "r7 r6 r5" {
		t.Errorf("got %s", got)
	}
	want := adminv1.Decision{Time: now.Add(7), RequestID: "r7", Integration: "test", Code: "key_expired", Status: 401, Method: "GET",
		Host: "cdn.acme.example", Origin: "https://www.acme.example", Group: "tenants/acme", KeyID: "k1"}
	if got := ring.Find(Query{Limit: 1}); len(got) != 1 || got[0] != want {
		t.Errorf("got %+v", got)
	}
}

func TestQueries(t *testing.T) {
	ring := newRing(10)
	ring.Record("a", now, request("r1"), denied(decision.KeyExpired))
	ring.Record("b", now, request("r2"), &authorizer.Result{Decision: decision.Decision{Code: decision.KeyMissing}})
	for query, want := range map[Query]int{
		{}: 2, {RequestID: "r1"}: 1, {RequestID: "r"}: 0, {KeyID: "k1"}: 1, {Code: "key_missing"}: 1, {Code: "key_missing", KeyID: "k1"}: 0,
	} {
		query.Limit = 9
		if got := ring.Find(query); len(got) != want {
			t.Errorf("%+v: %+v", query, got)
		}
	}
}

// TestNothingSecretIsKept puts a key wherever a client can put it.
func TestNothingSecretIsKept(t *testing.T) {
	minted, err := keyformat.Mint("vctrl", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := minted.Reveal()
	ring := newRing(10)
	for _, from := range []decision.Request{
		{Method: key, Host: key, Path: "/" + key, RawQuery: "key=" + key, Origin: key},
		{Method: "GET", Origin: "https://acme.example/" + key},
		{Method: "GET", Referer: "https://acme.example/page?key=" + key},
		{Method: "GET", Referer: "https://" + key + "@acme.example/"},
	} {
		ring.Record("test", now, &authorizer.Request{ID: key, Request: from}, denied(decision.KeyMalformed))
	}
	text, err := json.Marshal(ring.Find(Query{Limit: 9}))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), key) || !strings.Contains(string(text), `"origin":"https://acme.example"`) ||
		!strings.Contains(string(text), `"unreadable"`) {
		t.Errorf("kept %s", text)
	}
}

func TestClientTextIsTruncated(t *testing.T) {
	ring := newRing(1)
	long := strings.Repeat("A", 64<<10)
	ring.Record("test", now, &authorizer.Request{ID: "r1",
		Request: decision.Request{Method: long, Host: long, Origin: "https://" + long}}, denied(decision.KeyMissing))
	if n := len(ring.slots[0].text); n > 128+maxHost+maxOrigin+maxMethod {
		t.Errorf("%d bytes are kept of one request", n)
	}
}

func TestRecordingDoesNotAllocate(t *testing.T) {
	ring, from, result := newRing(4), request("r1"), denied(decision.KeyExpired)
	from.Origin = ""
	for range 4 {
		ring.Record("test", now, from, result)
	}
	if n := testing.AllocsPerRun(100, func() { ring.Record("test", now, from, result) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConcurrentRecordsAndQueries(t *testing.T) {
	ring := newRing(8)
	var group sync.WaitGroup
	for i := range 4 {
		id := fmt.Sprintf("r%d", i)
		group.Go(func() {
			for range 500 {
				ring.Record(id, now, request(id), denied(decision.KeyExpired))
			}
		})
		group.Go(func() {
			for range 100 {
				for _, d := range ring.Find(Query{Limit: 9}) {
					if d.Integration != d.RequestID {
						t.Errorf("a mixture: %+v", d)
					}
				}
			}
		})
	}
	group.Wait()
}

func TestHandler(t *testing.T) {
	ring := newRing(4)
	ring.Record("test", now, request("r1"), denied(decision.KeyExpired))
	get := func(query string) (int, string) {
		recorder := httptest.NewRecorder()
		ring.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, adminv1.DecisionsPath+query, http.NoBody))
		return recorder.Code, recorder.Body.String()
	}
	for query, want := range map[string]string{
		"": `"requestId":"r1","integration":"test","code":"key_expired"`,
		"?requestId=r1&keyId=k1&code=key_expired&limit=1": `"requestId":"r1"`, "?code=allowed": `{"decisions":[]}`,
	} {
		if status, body := get(query); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
	for query, want := range map[string]string{
		"?limit=0": "limit", "?limit=1001": "limit", "?limit=x": "limit", "?code=nope": "code",
		"?nope=1": "the parameters are requestId, keyId, code, limit", "?key_id=k1": "parameters",
		"?code=allowed&code=stale": "once", "?a=%zz": "encoded",
	} {
		if status, body := get(query); status != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	ring, from, result := New(), request("0123456789abcdef0123456789abcdef"), denied(decision.KeyExpired)
	b.ReportAllocs()
	for b.Loop() {
		ring.Record("test", now, from, result)
	}
}
