package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/integrations/awsauthorizer"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
	"github.com/keyward-dev/keyward/server/integrations/reverseproxy"
	"github.com/keyward-dev/keyward/server/integrations/verify"
)

// testRequest is the request of a test case, with the keys filled in.
type testRequest struct {
	method, host, target, project, client string

	lines []string

	arrives string   // the target that the upstream must see if it is not the one that was sent
	secrets []string // texts that the upstream must not see, if arrives is set

	// arrived is called with the target that the upstream sees. Without it, that must be the one that was sent.
	arrived func(target string)
}

// outcome is what an integration made of it, in terms that all integrations share.
type outcome struct {
	allowed   bool
	status    int
	code      string
	codeless  bool   // it says only that the request is allowed, not with which code
	challenge string // WWW-Authenticate

	retryAfter string // seconds
	isVerdict  bool   // it is not an HTTP response
	problem    httpapi.Problem
	injected   []string // sorted header lines
	requestID  string   // as the client gets it

	setsHeaders bool        // the integration can set headers of the client's response
	headers     http.Header // of CORS, as the client gets them

	// If the integration has an upstream: the lines that it sees, of headers that Keyward reads and of X-Other.
	hasUpstream bool
	upstream    []string
	// If the gateway has to replace something: the target that the upstream sees, and its own headers that may carry a key.
	target  string
	passed  []string
	selects string
}

const verifyURL = "verifyapi, with url"

// integration asks one integration.
type integration func(t *testing.T, e testRequest) outcome

// The positions of --http-fast-path, which is for forward auth only.
const (
	fastPathOn  = "fast path on"
	fastPathOff = "fast path off"
)

// integrations opens every integration on one authorizer: in one position of the fast path all, in the other those that
// it is for.
func integrations(t testing.TB, a *authorizer.Authorizer, position string) map[string]integration {
	t.Helper()
	loopback := clientaddr.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, clientaddr.HeaderXForwardedFor)
	mux, opened := http.NewServeMux(), map[string]integration{}
	fastPath := forwardauth.Register(mux, a, loopback)
	if position == fastPathOff {
		addProxyProfiles(opened, startFront(t, fastPath.Prefixed(mux), nil))
		return opened
	}
	verify.Register(mux, a, loopback)
	awsauthorizer.Register(mux, a, loopback)
	front := startFront(t, fastPath.Prefixed(mux), fastPath)
	url := "http://" + front.String()
	check := dialExtAuthz(t, a, loopback)
	opened["extauthz"] = func(t *testing.T, e testRequest) outcome { return askExtAuthz(t, check, e, false, false) }
	opened["extauthz, raw"] = func(t *testing.T, e testRequest) outcome { return askExtAuthz(t, check, e, true, false) }
	opened["extauthz, Envoy Gateway"] = func(t *testing.T, e testRequest) outcome { return askExtAuthz(t, check, e, false, true) }
	opened["verifyapi"] = func(t *testing.T, e testRequest) outcome { return askVerify(t, url, e) }
	opened["awsauthorizer, 1.0"] = func(t *testing.T, e testRequest) outcome { return askAWS1(t, url, e) }
	opened["awsauthorizer, 2.0"] = func(t *testing.T, e testRequest) outcome { return askAWS2(t, url, e, "$default") }
	opened["awsauthorizer, 2.0, a stage"] = func(t *testing.T, e testRequest) outcome { return askAWS2(t, url, e, "prod") }
	opened[verifyURL] = func(t *testing.T, e testRequest) outcome { return askVerifyURL(t, url, e) }
	opened["reverseproxy"] = reverseProxy(t, a, loopback)
	addProxyProfiles(opened, front)
	return opened
}

// inBothPositions returns every integration on one authorizer, and those that the fast path is for once more without it.
func inBothPositions(t testing.TB, a *authorizer.Authorizer) map[string]integration {
	t.Helper()
	opened := integrations(t, a, fastPathOn)
	for name, ask := range integrations(t, a, fastPathOff) {
		opened[name+", "+fastPathOff] = ask
	}
	return opened
}

// throughProxy returns the header lines behind a proxy that adds the address that it has seen.
func throughProxy(e testRequest) []string {
	if e.client == "" {
		return e.lines
	}
	return append(slices.Clone(e.lines), "X-Forwarded-For: "+e.client)
}

// reply is a response that was read completely.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// send writes a request unchanged, which no HTTP client would, and reads the response.
func send(t testing.TB, address net.Addr, method, host, target string, lines []string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, host)
	for _, line := range lines {
		fmt.Fprintf(&raw, "%s\r\n", line)
	}
	raw.WriteString("\r\n")
	if _, err := conn.Write(raw.Bytes()); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, body}
}

// denial reads a denial. The response to a HEAD request has no body.
func denial(t *testing.T, r reply) outcome {
	t.Helper()
	a := outcome{setsHeaders: true, headers: r.header, status: r.status, challenge: r.header.Get("WWW-Authenticate"),
		retryAfter: r.header.Get("Retry-After"), requestID: r.header.Get("X-Request-Id")}
	if len(r.body) > 0 {
		if err := json.Unmarshal(r.body, &a.problem); err != nil {
			t.Fatalf("%s: %v", r.body, err)
		}
	}
	a.code = a.problem.Code
	if status := r.header.Get("X-Keyward-Status"); r.status == http.StatusNoContent || status == "204" {
		a.status, a.code = http.StatusNoContent, "preflight"
		if status != "" && (r.status != http.StatusForbidden || r.header.Get("X-Keyward-Code") != a.code) || len(r.body) > 0 {
			t.Errorf("the response to a preflight is %d, %q", r.status, r.header)
		}
		return a
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("a denial of type %q", got)
	}
	if got := r.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("a denial with Cache-Control %q", got)
	}
	return a
}

// linesOf returns the sorted header lines with wanted names.
func linesOf(header http.Header, wanted func(lower string) bool) []string {
	var lines []string
	for name, values := range header {
		if lower := strings.ToLower(name); wanted(lower) {
			for _, value := range values {
				lines = append(lines, http.CanonicalHeaderKey(name)+": "+value)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func isContext(lower string) bool { return strings.HasPrefix(lower, "x-keyward-") }

// isWatched reports whether the tests compare what the upstream sees of the header.
func isWatched(lower string) bool {
	folded := foldedName(lower)
	return isContext(folded) || isPassed(folded) || folded == strings.ToLower(otherKeyHeader) || folded == "x-api-key" || folded == "x-request-id" || folded == "x-other"
}

// foldedName returns the name as CGI distinguishes names.
func foldedName(name string) string {
	return strings.Map(func(c rune) rune {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return '-'
		}
		return c
	}, strings.ToLower(name))
}

// maxHeaderBytes is the default of the validator.
const maxHeaderBytes = 64 << 10

// sameTarget reports whether the upstream sees exactly what was decided on, except for characters that may not be
// literal in a request line, each of which is encoded.
func sameTarget(seen, sent string) bool {
	path, rawQuery, query := strings.Cut(sent, "?")
	want := encoded(path, " \"<>^`{|}")
	if query {
		want += "?" + encoded(rawQuery, " #")
	}
	one, err := routing.CanonicalPath(path)
	if err != nil {
		return false
	}
	seenPath, _ := httpapi.SplitTarget(seen)
	other, err := routing.CanonicalPath(seenPath)
	return err == nil && one == other && seen == want
}

func encoded(text, encode string) (out string) {
	for _, c := range []byte(text) {
		if c >= 0x80 || strings.IndexByte(encode, c) >= 0 {
			out += fmt.Sprintf("%%%02X", c)
		} else {
			out += string(c)
		}
	}
	return out
}

// reverseProxy opens a proxy for each trusted project, since that is a flag, in front of an upstream that reports what
// it sees.
func reverseProxy(t testing.TB, g *authorizer.Authorizer, clients *clientaddr.Resolver) integration {
	t.Helper()
	seen := make(chan *http.Request, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "of-the-upstream")
		seen <- r
	}))
	t.Cleanup(upstream.Close)
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]*http1.Server{} // by project
	t.Cleanup(func() {
		for _, proxy := range open {
			_ = proxy.Close()
		}
	})
	return func(t *testing.T, e testRequest) outcome {
		t.Helper()
		proxy, ok := open[e.project]
		if !ok {
			handler := reverseproxy.New(g, reverseproxy.Config{Upstream: target, Project: e.project, Clients: clients},
				slog.New(slog.DiscardHandler))
			if proxy, err = runHTTP(http1.Config{Handler: handler, Upgrades: true}); err != nil {
				t.Fatal(err)
			}
			open[e.project] = proxy
		}
		got := send(t, proxy.Addr(), e.method, e.host, e.target, throughProxy(e))
		select {
		case r := <-seen:
			if e.arrived != nil {
				e.arrived(r.RequestURI)
			} else if !sameTarget(r.RequestURI, e.wanted()) || r.Host != e.host || r.Method != e.method {
				t.Errorf("the upstream sees %s %s %s", r.Method, r.Host, r.RequestURI)
			}
			e.compareSecrets(t, fmt.Sprint(r.RequestURI, r.Header))
			return outcome{
				allowed: true, status: got.status, code: "allowed", codeless: true, setsHeaders: true, headers: got.header, injected: linesOf(r.Header,
					isContext), requestID: strings.Join(got.header["X-Request-Id"], ", "),
				hasUpstream: true, upstream: linesOf(r.Header, isWatched),
			}
		default:
			return denial(t, got)
		}
	}
}
