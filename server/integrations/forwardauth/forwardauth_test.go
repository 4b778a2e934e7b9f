package forwardauth

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
	"github.com/keyward-dev/keyward/server/store"
)

func newMux(t *testing.T) *http.ServeMux {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(store.Config{}, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	Register(mux, authorizer.New(s, time.Now, log, prometheus.NewRegistry()), nil)
	return mux
}

// ask sends a question in a dialect, complete but for what is changed.
func ask(t *testing.T, mux http.Handler, d *proxyProfile, target string, changed http.Header) (int, httpapi.Problem) {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, target, http.NoBody)
	for _, name := range []string{d.method, d.host, d.uri, d.address} {
		if name != "" {
			request.Header[name] = []string{"/x"}
		}
	}
	maps.Copy(request.Header, changed)
	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, request)
	var problem httpapi.Problem
	if err := json.Unmarshal(recorder.Body.Bytes(), &problem); err != nil {
		t.Fatalf("%s: %v", recorder.Body, err)
	}
	if d.narrow != (recorder.Header().Get(headerStatus) == strconv.Itoa(problem.Status)) ||
		d.narrow != (recorder.Header().Get(headerProblem) == strings.TrimSpace(recorder.Body.String())) {
		t.Errorf("%s: %v to restore", target, recorder.Header())
	}
	return recorder.Code, problem
}

// refusal is the status with which a dialect refuses what is not put well.
func (d *proxyProfile) refusal() int {
	if d.narrow {
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// TestAnIncompleteQuestionIsRefused is about proxies that are not set up properly, and about
// clients that add to what the proxy sets: nothing is guessed.
func TestAnIncompleteQuestionIsRefused(t *testing.T) {
	mux := newMux(t)
	for _, d := range proxyProfiles {
		if _, problem := ask(t, mux, &d, d.path, nil); problem.Code != "not_synced" {
			t.Fatalf("%s: %+v", d.path, problem)
		}
		refused := map[string][][]string{}
		for _, name := range []string{d.method, d.host, d.uri} {
			refused[name] = [][]string{nil, {""}, {"a", "b"}, {"a", "a"}}
		}
		if d.address != "" && !d.list {
			refused[d.address] = [][]string{{"192.0.2.1", "192.0.2.2"}}
		}
		delete(refused, "")
		for name, wrong := range refused {
			for _, values := range wrong {
				status, problem := ask(t, mux, &d, d.path, http.Header{name: values})
				if status != d.refusal() || problem.Status != http.StatusBadRequest || problem.Code != codeIncomplete || !strings.Contains(problem.Detail, name) {
					t.Errorf("%s with %s %q: %d %+v", d.path, name, values, status, problem)
				}
			}
		}
	}
}

// TestAddresses: each dialect reads the address where its proxy puts it, and nowhere else;
// the list that the validator was told to read is for the plain one.
func TestAddresses(t *testing.T) {
	header := http.Header{"Forwarded": {"for=198.51.100.1"}, "X-Forwarded-For": {"198.51.100.2"}, "X-Real-Ip": {"198.51.100.3"}, "X-Haproxy-Src": {"198.51.100.4"}}
	proxy := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for path, want := range map[string]string{"/authz": "198.51.100.1", "/authz/nginx": "198.51.100.3", "/authz/traefik": "198.51.100.2", "/authz/caddy": "198.51.100.2", "/authz/haproxy": "198.51.100.4"} {
		d := &proxyProfiles[slices.IndexFunc(proxyProfiles, func(d proxyProfile) bool { return d.path == path })]
		for name, c := range map[string]struct {
			resolver *clientaddr.Resolver
			remote   string
			want     string
		}{
			"a trusted proxy":    {clientaddr.New(proxy, clientaddr.HeaderForwarded), "192.0.2.1:9", want},
			"another":            {clientaddr.New(proxy, clientaddr.HeaderForwarded), "203.0.113.1:9", "invalid IP"},
			"nobody is believed": {nil, "192.0.2.1:9", "invalid IP"},
		} {
			h := &handler{proxyProfile: *d, clients: c.resolver, addresses: d.addresses(c.resolver)}
			if got := h.client(clientaddr.Peer(c.remote), header); got.String() != c.want {
				t.Errorf("%s, %s: %v, want %s", path, name, got, c.want)
			}
		}
	}
}

// TestParametersAreRefused: one that is passed over would let another project decide.
func TestParametersAreRefused(t *testing.T) {
	mux := newMux(t)
	for _, d := range proxyProfiles {
		good, wrong := []string{"", "?project=marketing", "?project=%6darketing"}, []string{"?projct=marketing", "?Project=marketing", "?project=", "?project", "?project=a&project=b", "?project=a&x=1", "?project=a;x", "?%zz", "?x"}
		if d.projectInPath {
			good, wrong = []string{"", "/projects/marketing"}, append(wrong, "?", "?project=marketing", "/projects/marketing?project=other", "/projects/marketing?x=1")
		}
		for _, query := range good {
			if _, problem := ask(t, mux, &d, d.path+query, nil); problem.Code != "not_synced" {
				t.Errorf("%s%s: %+v", d.path, query, problem)
			}
		}
		for _, query := range wrong {
			if status, problem := ask(t, mux, &d, d.path+query, nil); status != d.refusal() || problem.Status != http.StatusBadRequest || problem.Code != "parameter_invalid" {
				t.Errorf("%s%s: %d %+v", d.path, query, status, problem)
			}
		}
	}
}

// TestPreflightsOnly: in the place of a content server nothing else is answered.
func TestPreflightsOnly(t *testing.T) {
	mux := newMux(t)
	for name, lines := range map[string][]string{"none": nil, "two": {"/x", "/x"}, "an empty one": {""}} {
		request := httptest.NewRequest(http.MethodOptions, "/authz/traefik/preflights", http.NoBody)
		request.Header[headerReplacedPath] = lines
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, request)
		if recorder.Code != http.StatusBadRequest || !strings.Contains(recorder.Body.String(), headerReplacedPath) {
			t.Errorf("%s: %d %s", name, recorder.Code, recorder.Body)
		}
	}
}

// FuzzParameters: whatever is taken for a project, an operator has written as one.
func FuzzParameters(f *testing.F) {
	for _, query := range []string{"", "project=a", "project=a&project=b", "projct=a", "project=%41", "project=a;b", "project", "=a"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, d := range proxyProfiles {
			project, wrong := d.trustedProject(&requestContext{FastRequest: httpapi.FastRequest{Path: d.path, RawQuery: query}})
			if wrong != "" {
				if project != "" {
					t.Errorf("%q names %q and is wrong", query, project)
				}
				continue
			}
			if values, err := url.ParseQuery(query); err != nil || len(values) > 1 || values.Get("project") != project || d.projectInPath && query != "" {
				t.Errorf("%q names %q", query, project)
			}
		}
	})
}

// TestReservedHeadersAreRefused where the proxy might let the upstream see them.
func TestReservedHeadersAreRefused(t *testing.T) {
	mux := newMux(t)
	for _, d := range proxyProfiles {
		for name, refused := range map[string]bool{
			"X-Keyward-Group": true, "X-Keyward-Context-Anything": true, "X_keyward_context_anything": true, "X-Keyward-": true,
			"X-Keyward": false, "X-Keywards-Group": false, "Cookie": false,
		} {
			status, problem := ask(t, mux, &d, d.path, http.Header{name: {"evil"}})
			if got := problem.Code == codeReserved; got != (refused && d.cannotRemove) || got && (problem.Status != http.StatusBadRequest || status != http.StatusForbidden) {
				t.Errorf("%s, %s: %d %+v", d.path, name, status, problem)
			}
		}
	}
}

// BenchmarkAnswer is a question with its answer, but for what is read and written.
func BenchmarkAnswer(b *testing.B) {
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(store.Config{}, log, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	key, err := keyformat.Mint("vctrl", rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := key.Digest()
	if err := s.Apply(&syncv1.Update{CaughtUp: true,
		Groups: []*syncv1.Group{{Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
			Projects: []*syncv1.Project{{Name: "default", OwnsAll: true, Origins: &syncv1.OriginPolicy{AllowMissing: true}}}, Context: map[string]string{"database": "acme_prod"}}},
		Keys: []*syncv1.Key{{Id: "k1", Group: "tenants/acme", Projects: []string{"default"}, Permissions: []string{"read"}, Versions: []*syncv1.Version{{Digest: digest[:]}}}},
	}); err != nil {
		b.Fatal(err)
	}
	fastPath := Register(http.NewServeMux(), authorizer.New(s, time.Now, log, prometheus.NewRegistry()), nil)
	for name, credential := range map[string]string{"allow": "Bearer " + key.Reveal(), "deny": "Bearer x"} {
		request := &httpapi.FastRequest{Path: "/authz", Host: "validator", Header: http.Header{
			"X-Forwarded-Method": {"GET"}, "X-Forwarded-Host": {"cdn.acme.com"}, "X-Forwarded-Uri": {"/x?y"}, "Authorization": {credential}, "X-Request-Id": {"1"},
		}}
		b.Run(name, func(b *testing.B) {
			var response httpapi.FastResponse
			b.ReportAllocs()
			for b.Loop() {
				response.Headers = response.Headers[:0]
				if !fastPath.Respond(request, &response) {
					b.Fatal("not answered")
				}
			}
		})
	}
}
