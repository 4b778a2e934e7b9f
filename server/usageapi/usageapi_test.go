package usageapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

type known struct{ counted []string }

func (known) HasGroup(identity string) bool { return identity == "tenants/acme" }

func (known) GroupOf(key string) (string, bool) { return "tenants/acme", key == "k1" }

func (k *known) Count(group string, requests, bytes uint64, _ time.Time) {
	k.counted = append(k.counted, fmt.Sprint(group, requests, bytes))
}

// TestUsage: all of a list is counted, or nothing, and the answer names the field.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		body   string
		status int
		want   string // in the answer, or what is counted
	}{
		{`[]`, 204, "[]"},
		{`[{"group":"tenants/acme","requests":2,"bytes":10},{"key":"k1","bytes":5}]`, 204, "[tenants/acme2 10 tenants/acme0 5]"},
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
		{`[] []`, 400, "follows"},
		{``, 400, "JSON list"},
		{`[` + strings.Repeat(" ", maxBody) + `]`, 413, "too large"},
		{`[` + strings.Repeat(`{"key":"k1"},`, maxEntries) + `{"key":"k1"}]`, 400, "more than 10000"},
	} {
		k := &known{}
		w := httptest.NewRecorder()
		Handler(k, k, time.Now).ServeHTTP(w, httptest.NewRequest(http.MethodPost, Path, strings.NewReader(c.body)))
		said := w.Body.String()
		if c.status == 204 {
			said = fmt.Sprint(k.counted)
		} else if len(k.counted) > 0 {
			t.Errorf("%.60s: counted %v", c.body, k.counted)
		}
		if w.Code != c.status || !strings.Contains(said, c.want) {
			t.Errorf("%.60s: %d, %s", c.body, w.Code, said)
		}
	}
}

func FuzzUsage(f *testing.F) {
	f.Add(`[{"group":"tenants/acme","requests":2,"bytes":10},{"key":"k1","bytes":5}]`)
	f.Add(`[{"key":"k1","bytes":-1}]`)
	f.Fuzz(func(t *testing.T, body string) {
		deltas, err := read(strings.NewReader(body), known{})
		for _, d := range deltas {
			if err != nil || d.group != "tenants/acme" || d.requests > maxAmount || d.bytes > maxAmount {
				t.Errorf("%+v, %v", d, err)
			}
		}
	})
}
