package forwardauth

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/test/fixture"
)

// bothPositions runs a test with handlers that know no keys: once as the validator serves them with the fast path, and
// once without it.
func bothPositions(t *testing.T, test func(t *testing.T, handler http.Handler)) {
	mux := http.NewServeMux()
	fastPath := Register(mux, fixture.Authorizer(t, nil), nil)
	t.Run("fast path on", func(t *testing.T) {
		test(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			request := httpapi.FastRequest{Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Host: r.Host, Header: http.Header{}}
			for name, lines := range r.Header { // as package http1 reads them
				if canonical := fastPath.Reads(name); canonical != "" {
					request.Header[canonical] = append(request.Header[canonical], lines...)
				}
			}
			var response httpapi.Response
			if r.Method == http.MethodGet && !r.URL.ForceQuery && fastPath.Respond(&request, &response) {
				response.Write(w)
				return
			}
			fastPath.Prefixed(mux).ServeHTTP(w, r)
		}))
	})
	t.Run("fast path off", func(t *testing.T) { test(t, fastPath.Prefixed(mux)) })
}

// ask sends a request as a proxy profile says, complete except for what is changed.
func ask(t *testing.T, mux http.Handler, d *proxyProfile, target string, changed http.Header) (int, httpapi.Problem) {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, target, http.NoBody)
	for _, name := range d.headers() {
		request.Header[name] = []string{"/x"}
	}
	if d.url != "" {
		request.Header[d.url] = []string{"https://x/x"}
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

// asking are the profiles of proxies that describe the original request in headers.
func asking() []proxyProfile {
	return slices.DeleteFunc(slices.Clone(proxyProfiles), func(d proxyProfile) bool { return d.prefixed })
}

// refusal is the status with which a proxy profile refuses invalid requests.
func (d *proxyProfile) refusal() int {
	if d.narrow {
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// TestIncompleteRequestsAreRefused is about proxies that are not configured correctly, and about clients that add to what
// the proxy sets: nothing is guessed.
func TestIncompleteRequestsAreRefused(t *testing.T) { bothPositions(t, incompleteRequestsAreRefused) }

func incompleteRequestsAreRefused(t *testing.T, mux http.Handler) {
	for _, d := range asking() {
		if _, problem := ask(t, mux, &d, d.path, nil); problem.Code != "not_synced" {
			t.Fatalf("%s: %+v", d.path, problem)
		}
		refused := map[string][][]string{}
		for _, name := range []string{d.method, d.host, d.uri, d.url} {
			refused[name] = [][]string{nil, {""}, {"a", "b"}, {"a", "a"}}
		}
		if d.address != "" && !d.list {
			refused[d.address] = [][]string{{"192.0.2.1", "192.0.2.2"}}
		}
		delete(refused, "")
		for name, wrong := range refused {
			for _, values := range wrong {
				status, problem := ask(t, mux, &d, d.path, http.Header{name: values})
				if status != d.refusal() || problem.Status != http.StatusBadRequest || problem.Code != codeIncomplete ||
					!strings.Contains(problem.Detail, name) {
					t.Errorf("%s with %s %q: %d %+v", d.path, name, values, status, problem)
				}
			}
		}
	}
}

// TestAddresses: each proxy profile reads the address where its proxy puts it, and nowhere else. The header that the
// validator is configured to read is for the general profile.
func TestAddresses(t *testing.T) {
	header := http.Header{"Forwarded": {"for=198.51.100.1"}, "X-Forwarded-For": {"198.51.100.2"}, "X-Real-Ip": {"198.51.100.3"},
		"X-Haproxy-Src": {"198.51.100.4"}}
	proxy := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for path, want := range map[string]string{"/authz": "198.51.100.1", "/authz/nginx": "198.51.100.3",
		"/authz/traefik": "198.51.100.2", "/authz/caddy": "198.51.100.2", "/authz/haproxy": "198.51.100.4",
		"/authz/ingress-nginx": "198.51.100.3", "/authz/gateway-api": "invalid IP", "/authz/envoy-http": "198.51.100.2"} {
		d := &proxyProfiles[slices.IndexFunc(proxyProfiles, func(d proxyProfile) bool { return d.path == path })]
		for name, c := range map[string]struct {
			resolver *clientaddr.Resolver
			remote   string
			want     string
		}{
			"a trusted proxy":   {clientaddr.New(proxy, clientaddr.HeaderForwarded), "192.0.2.1:9", want},
			"another":           {clientaddr.New(proxy, clientaddr.HeaderForwarded), "203.0.113.1:9", "invalid IP"},
			"nobody is trusted": {nil, "192.0.2.1:9", "invalid IP"},
		} {
			h := &handler{proxyProfile: *d, clients: c.resolver, addresses: d.addresses(c.resolver)}
			if got := h.client(clientaddr.Peer(c.remote), header); got.String() != c.want {
				t.Errorf("%s, %s: %v, want %s", path, name, got, c.want)
			}
		}
	}
}

// TestParametersAreRefused: if one were ignored, another project would decide.
func TestParametersAreRefused(t *testing.T) { bothPositions(t, parametersAreRefused) }

func parametersAreRefused(t *testing.T, mux http.Handler) {
	for _, d := range asking() {
		good, wrong := []string{"", "?project=marketing", "?project=%6darketing"}, []string{"?projct=marketing",
			"?Project=marketing", "?project=", "?project", "?project=a&project=b", "?project=a&x=1", "?project=a;x", "?%zz", "?x"}
		if d.projectInPath {
			good, wrong = []string{"", "/projects/marketing"}, append(wrong, "?", "?project=marketing",
				"/projects/marketing?project=other", "/projects/marketing?x=1")
		}
		if d.projectFirst {
			good, wrong = []string{""}, append(wrong, "?", "?project=marketing")
			if _, problem := ask(t, mux, &d, d.projectPath("marketing"), nil); problem.Code != "not_synced" {
				t.Errorf("%s: %+v", d.path, problem)
			}
		}
		for _, query := range good {
			if _, problem := ask(t, mux, &d, d.path+query, nil); problem.Code != "not_synced" {
				t.Errorf("%s%s: %+v", d.path, query, problem)
			}
		}
		for _, query := range wrong {
			if status, problem := ask(t, mux, &d, d.path+query, nil); status != d.refusal() ||
				problem.Status != http.StatusBadRequest || problem.Code != "parameter_invalid" {
				t.Errorf("%s%s: %d %+v", d.path, query, status, problem)
			}
		}
	}
}

// TestPreflightsOnly: in the place of a content server, all other requests are refused.
func TestPreflightsOnly(t *testing.T) { bothPositions(t, preflightsOnly) }

func preflightsOnly(t *testing.T, mux http.Handler) {
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

// FuzzParameters: everything that is taken for a project was written as one by an operator.
func FuzzParameters(f *testing.F) {
	for _, query := range []string{"", "project=a", "project=a&project=b", "projct=a", "project=%41", "project=a;b", "project", "=a"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, d := range asking() {
			project, wrong := d.trustedProject(&requestContext{FastRequest: httpapi.FastRequest{Path: d.path, RawQuery: query}})
			if wrong != "" {
				if project != "" {
					t.Errorf("%q names %q and is wrong", query, project)
				}
				continue
			}
			if values, err := url.ParseQuery(query); err != nil || len(values) > 1 || values.Get("project") != project ||
				(d.projectInPath || d.projectFirst) && query != "" {
				t.Errorf("%q names %q", query, project)
			}
		}
	})
}

// TestReservedHeadersAreRefused if the proxy might pass them on to the upstream.
func TestReservedHeadersAreRefused(t *testing.T) { bothPositions(t, reservedHeadersAreRefused) }

func reservedHeadersAreRefused(t *testing.T, mux http.Handler) {
	for _, d := range asking() {
		for name, refused := range map[string]bool{
			"X-Keyward-Group": true, "X-Keyward-Context-Anything": true, "X_keyward_context_anything": true, "X-Keyward-": true,
			"X-Keyward": false, "X-Keywards-Group": false, "Cookie": false,
		} {
			status, problem := ask(t, mux, &d, d.path, http.Header{name: {"evil"}})
			if got := problem.Code == codeReserved; got != (refused && d.cannotRemove) || got &&
				(problem.Status != http.StatusBadRequest || status != http.StatusForbidden) {
				t.Errorf("%s, %s: %d %+v", d.path, name, status, problem)
			}
		}
	}
}

// BenchmarkFastPath is a request with its response, except what is read and written.
func BenchmarkFastPath(b *testing.B) {
	key := fixture.Mint(b)
	update := fixture.Update(key)
	update.Groups[0].Context = map[string]string{"database": "acme_prod"}
	fastPath := Register(http.NewServeMux(), fixture.Authorizer(b, update), nil)
	for name, credential := range map[string]string{"allow": "Bearer " + key.Reveal(), "deny": "Bearer x"} {
		request := &httpapi.FastRequest{Path: "/authz", Host: "validator", Header: http.Header{
			"X-Forwarded-Method": {"GET"}, "X-Forwarded-Host": {"cdn.acme.com"}, "X-Forwarded-Uri": {"/x?y"},
			"Authorization": {credential}, "X-Request-Id": {"1"},
		}}
		b.Run(name, func(b *testing.B) {
			var response httpapi.Response
			b.ReportAllocs()
			for b.Loop() {
				response.Headers = response.Headers[:0]
				if !fastPath.Respond(request, &response) {
					b.Fatal("left to the handlers")
				}
			}
		})
	}
}
