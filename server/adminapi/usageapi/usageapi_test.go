package usageapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
)

type known struct{ counted []string }

func (known) HasGroup(identity string) bool { return identity == "tenants/acme" }

func (known) GroupOf(key string) (string, bool) {
	return "tenants/acme", key == "k1"
}

func (k *known) Count(amounts []quota.Amount, _ time.Time) (full string, ok bool) {
	const most = 3 << 40
	for _, a := range amounts {
		if a.Requests > most || a.Bytes > most {
			return a.Group, false
		}
	}
	for _, a := range amounts {
		k.counted = append(k.counted, fmt.Sprint(a.Group, a.Requests, a.Bytes))
	}
	return "", true
}

// byKey is the same by key.
type byKey struct{ *known }

func (k byKey) Count(id, group string, requests uint64, _ time.Time) {
	k.counted = append(k.counted, fmt.Sprint(id, " ", group, requests))
}

// TestUsage: all of a list is counted, or none of it, and the response names the field.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		body   string
		status int
		want   string // in the answer, or what is counted
	}{
		{`[]`, 204, "[]"},
		{`[{"group":"tenants/acme","requests":2,"bytes":10},{"key":"k1","bytes":5}]`, 204, "[tenants/acme2 15]"},
		{`[{"key":"k1","requests":3}]`, 204, "[tenants/acme3 0 k1 tenants/acme3]"},
		{`[{"group":"tenants/acme","bytes":10},{"group":"tenants/other"}]`, 400, "[1].group: no such group"},
		{`[{"key":"k2"}]`, 400, "[0].key: no key"},
		{`[{"key":"k1","group":"tenants/acme"}]`, 400, "[0].key: give either"},
		{`[{"bytes":1}]`, 400, "[0].group: it is missing"},
		{`[{"key":"k1","bytes":-1}]`, 400, "[0].bytes: write a whole number"},
		{`[{"key":"k1","requests":1.5}]`, 400, "[0].requests: write a whole number"},
		{`[{"key":"k1","requests":18446744073709551616}]`, 400, "[0].requests: write a whole number"},
		{`[{"key":"k1","requests":"many"}]`, 400, "JSON list"},
		{`[{"key":"k1","colour":1}]`, 400, "colour"},
		{`{}`, 400, "JSON list"},
		{`[] []`, 400, "more after"},
		{`[]]`, 400, "more after"},
		{`null`, 400, "not a list"},
		{`[` + strings.Repeat(`{"group":"tenants/acme","bytes":1099511627776},`, 3) + `{"group":"tenants/acme","bytes":1}]`, 409,
			"The month of tenants/acme would exceed"},
		{``, 400, "JSON list"},
		{`[` + strings.Repeat(" ", maxBody) + `]`, 413, "too large"},
		{`[` + strings.Repeat(`{"key":"k1"},`, adminv1.MaxUsageEntries) + `{"key":"k1"}]`, 400, "more than 10000"},
	} {
		k := &known{}
		w := httptest.NewRecorder()
		Handler(k, k, byKey{k}, time.Now).ServeHTTP(w, httptest.NewRequest(http.MethodPost, adminv1.UsagePath, strings.NewReader(c.body)))
		got := w.Body.String()
		if c.status == 204 {
			got = fmt.Sprint(k.counted)
		} else if len(k.counted) > 0 {
			t.Errorf("%.60s: counted %v", c.body, k.counted)
		}
		if w.Code != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%.60s: %d, %s", c.body, w.Code, got)
		}
	}
}

func FuzzUsage(f *testing.F) {
	f.Add(`[{"group":"tenants/acme","requests":2,"bytes":10},{"key":"k1","bytes":5}]`)
	f.Add(`[{"key":"k1","bytes":-1}]`)
	f.Fuzz(func(t *testing.T, body string) {
		deltas, err := read(strings.NewReader(body), known{})
		for _, d := range deltas {
			if err != nil || d.group != "tenants/acme" || d.requests > adminv1.MaxUsageAmount || d.bytes > adminv1.MaxUsageAmount {
				t.Errorf("%+v, %v", d, err)
			}
		}
	})
}

// reporter knows keys that were used.
type reporter struct{ limit int }

func (s *reporter) Report(selected func(id, group string) bool, limit int) ([]adminv1.KeyUsage, int) {
	s.limit = limit
	keys := []adminv1.KeyUsage{}
	for _, k := range []adminv1.KeyUsage{
		{KeyID: "k1", Group: "tenants/acme", Period: "2026-11", Requests: 5,
			Origins: []adminv1.OriginUsage{{Origin: "https://acme.com", Requests: 4, Error: 1}}},
		{KeyID: "k2", Group: "tenants/acme", Requests: 3}, {KeyID: "k3", Group: "tenants/other"},
	} {
		if selected(k.KeyID, k.Group) {
			keys = append(keys, k)
		}
	}
	return keys, len(keys)
}

// TestReport: a group or a key is reported; a query that is not understood is refused.
func TestReport(t *testing.T) {
	for _, c := range []struct {
		query  string
		status int
		want   []string
		limit  int
	}{
		{"group=tenants/acme", 200, []string{`"keyId":"k1"`, `"keyId":"k2"`, `"total":2`,
			`{"origin":"https://acme.com","requests":4,"error":1}`}, 100},
		{"key=k1&limit=7", 200, []string{`"keyId":"k1"`, `"period":"2026-11","requests":5`, `"total":1`}, 7},
		{"", 400, []string{"either group"}, 0},
		{"group=tenants/acme&key=k1", 400, []string{"either group"}, 0},
		{"group=", 400, []string{"group: give it once"}, 0},
		{"key=k1&key=k2", 400, []string{"key: give it once"}, 0},
		{"key=k1&limit=0", 400, []string{"limit: write a number"}, 0},
		{"key=k1&limit=1001", 400, []string{"limit: write a number"}, 0},
		{"key=k1&colour=red", 400, []string{"the parameters are"}, 0},
		{"key=%zz", 400, []string{"not properly encoded"}, 0},
		{"group=tenants/other", 404, []string{"group: it is not known here"}, 0},
		{"key=k3", 404, []string{"key: it is not known here"}, 0},
	} {
		s, w := &reporter{}, httptest.NewRecorder()
		ReportHandler(known{}, s).ServeHTTP(w, httptest.NewRequest(http.MethodGet, adminv1.UsagePath+"?"+c.query, http.NoBody))
		for _, part := range c.want {
			if !strings.Contains(w.Body.String(), part) {
				t.Errorf("%s: no %s in %s", c.query, part, w.Body)
			}
		}
		if w.Code != c.status || s.limit != c.limit || strings.Contains(w.Body.String(), "k3\"") {
			t.Errorf("%s: %d, limit %d, %s", c.query, w.Code, s.limit, w.Body)
		}
	}
}
