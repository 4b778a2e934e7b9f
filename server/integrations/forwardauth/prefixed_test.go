package forwardauth

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/test/fixture"
)

// TestEnvoyRemovesTheKey: Envoy's HTTP service says by a header of its response what content servers must not see.
func TestEnvoyRemovesTheKey(t *testing.T) {
	key := fixture.Mint(t)
	locations := credential.New(credential.Config{Headers: []string{"Ocp-Apim-Subscription-Key"}})
	auth := fixture.Authorizer(t, fixture.Update(key), authorizer.WithKeys(locations))
	for name, c := range map[string]struct {
		keep   bool
		header http.Header
		want   string
	}{
		"in Authorization":       {header: http.Header{"Authorization": {"Bearer " + key.Reveal()}}, want: "Authorization"},
		"in X-Api-Key":           {header: http.Header{"X-Api-Key": {key.Reveal()}}, want: "X-Api-Key"},
		"in a configured header": {header: http.Header{"Ocp-Apim-Subscription-Key": {key.Reveal()}}, want: "Ocp-Apim-Subscription-Key"},
		"beside another's credential": {header: http.Header{"X-Api-Key": {key.Reveal()}, "Authorization": {"Basic dTpw"}},
			want: "X-Api-Key"},
		"kept": {keep: true, header: http.Header{"Authorization": {"Bearer " + key.Reveal()}}},
		"with what only Keyward sets": {header: http.Header{"X-Api-Key": {key.Reveal()}, "X-Keyward-Group": {"evil"},
			"X-Keyward-Anything": {"evil"}, "X-Keyward_project": {"evil"}}, want: "X-Api-Key,X-Keyward-Anything,X-Keyward_project"},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			fastPath := Register(mux, auth, nil, KeepCredential(c.keep))
			request := httptest.NewRequest(http.MethodGet, "/authz/envoy-http/x", http.NoBody)
			request.Header = c.header
			recorder := httptest.NewRecorder()
			fastPath.Prefixed(mux).ServeHTTP(recorder, request)
			if got := recorder.Header().Get(headerRemoval); recorder.Code != http.StatusOK || got != c.want {
				t.Errorf("%d, removes %q", recorder.Code, got)
			}
			var response httpapi.Response
			if !fastPath.Respond(&httpapi.FastRequest{Path: "/authz/envoy-http/x", Host: request.Host, Header: c.header}, &response) {
				t.Fatal("left to the handlers")
			}
			at := slices.IndexFunc(response.Headers, func(h httpapi.Header) bool { return h.Name == headerRemoval })
			if at < 0 && c.want != "" || at >= 0 && response.Headers[at].Value != c.want {
				t.Errorf("the fast path's headers are %v", response.Headers)
			}
		})
	}
}

// TestEnvoySendsBodies: with with_request_body, a check has a body, which means nothing here.
func TestEnvoySendsBodies(t *testing.T) {
	key := fixture.Mint(t)
	mux := http.NewServeMux()
	server := httptest.NewServer(Register(mux, fixture.Authorizer(t, fixture.Update(key)), nil).Prefixed(mux))
	t.Cleanup(server.Close)
	for _, size := range []int{0, 1, 8 << 10} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/authz/envoy-http/x",
			strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Api-Key", key.Reveal())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%d bytes: %d", size, response.StatusCode)
		}
	}
}

// FuzzPrefix: behind a prefix, no original target changes what the prefix says, and all of it is decided on.
func FuzzPrefix(f *testing.F) {
	for _, target := range []string{"/x", "/../nginx", "/%2e%2e/gateway-api", "//", "/projects/web/envoy-http/x", "/?project=web", "/x#/y",
		"/authz/projects/web/envoy-http/x", "?x", "", "x", "/\\..\\", "/%"} {
		f.Add(target)
	}
	p := Register(http.NewServeMux(), fixture.Authorizer(f, nil), nil)
	f.Fuzz(func(t *testing.T, target string) {
		for prefix, want := range map[string]string{"/authz/envoy-http": "", "/authz/projects/marketing/envoy-http": "marketing"} {
			h, project, original := p.split(prefix + target)
			if !strings.HasPrefix(target, "/") {
				if h != nil {
					t.Errorf("%q behind %s is taken for a request", target, prefix)
				}
				continue
			}
			if h == nil || h.path != "/authz/envoy-http" || project != want || original != target {
				t.Errorf("%q behind %s is %q of %q", target, prefix, original, project)
			}
		}
	})
}

// FuzzURL: any Host and target of a client are read as they were put together.
func FuzzURL(f *testing.F) {
	for _, c := range [][2]string{{"cdn.acme.example", "/x"}, {"cdn.acme.example?x", "/x"}, {"a#", "/://x/y"}, {"a@b", "//x"},
		{"", "/x"}, {"a", ""}, {"a", "?x"}, {"https://a", "/x"}} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, host, target string) {
		if strings.Contains(host, "/") { // nginx refuses it
			return
		}
		gotHost, gotTarget := splitURL("https://" + host + target)
		if strings.HasPrefix(target, "/") && host != "" {
			if gotHost != host || gotTarget != target {
				t.Errorf("%q and %q are read as %q and %q", host, target, gotHost, gotTarget)
			}
		} else if gotTarget != "" && httpapi.IsHost(gotHost) && gotHost != host+target[:strings.IndexByte(target, '/')] {
			t.Errorf("%q and %q are read as %q and %q", host, target, gotHost, gotTarget)
		}
	})
}
