package conformance

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/test/fixture"
)

// everyCase returns all tables.
func everyCase() []testCase {
	return slices.Concat(table, spellingTable, clientTable, signedTable, rateTable, quotaTable, locationTable, principalTable,
		publicTable)
}

func TestConformance(t *testing.T) {
	keys, update := snapshot(t)
	signer, _, published := fixture.Signer(t)
	for _, position := range []string{fastPathOn, fastPathOff} {
		opened := map[string]map[string]integration{}
		for _, world := range []string{
			"", worldUnsynced, worldStale, worldFailed, worldPaced, worldFast, worldSpent, worldScarce, worldUnavailable, worldPublic,
		} {
			opened[world] = integrations(t, newAuthorizer(t, world, update, authorizer.WithPrincipals(signer)), position)
		}
		t.Run(position, func(t *testing.T) {
			for _, c := range everyCase() {
				t.Run(c.name, func(t *testing.T) {
					e := c.testRequest(keys)
					for name, ask := range opened[c.world] {
						if c.excepts(name) || e.client != "" && !knowsClient(name) {
							continue
						}
						t.Run(name, func(t *testing.T) {
							got := ask(t, e)
							got.takePrincipals(t, published)
							c.compare(t, got, e)
						})
					}
				})
			}
		})
	}
}

// TestTableIsComplete: the table has every code, and every case has a reason of its own.
func TestTableIsComplete(t *testing.T) {
	names, guards, codes := map[string]bool{}, map[string]bool{}, map[decision.Code]bool{}
	for _, c := range everyCase() {
		if names[c.name] {
			t.Errorf("two cases %q", c.name)
		}
		if c.guards == "" || guards[c.guards] {
			t.Errorf("%s: it guards against nothing, or the same as another: %q", c.name, c.guards)
		}
		guards[c.guards] = true
		names[c.name], codes[c.want] = true, true
	}
	for _, code := range decision.Codes() {
		if !codes[code] {
			t.Errorf("no case for %v", code)
		}
	}
	for _, c := range slices.Concat(waysTable, awsTable) {
		if names[c.name] {
			t.Errorf("two cases %q", c.name)
		}
		if c.guards == "" || guards[c.guards] {
			t.Errorf("%s: it guards against nothing, or the same as another: %q", c.name, c.guards)
		}
		guards[c.guards], names[c.name] = true, true
	}
	t.Logf("%d cases", len(names))
}

func (c *testCase) excepts(integration string) bool {
	return c.except != "" && slices.ContainsFunc(strings.Split(c.except, "|"),
		func(beginning string) bool { return strings.HasPrefix(integration, beginning) })
}

func (c *testCase) testRequest(keys keyring) testRequest {
	e := testRequest{method: usualMethod, host: usualHost, target: usualTarget, project: c.project, client: c.client}
	if c.request != "" {
		parts := strings.SplitN(c.request, " ", 3)
		for i, part := range []*string{&e.method, &e.host, &e.target} {
			if parts[i] != "-" {
				*part = parts[i]
			}
		}
	}
	e.target, e.arrives = keys.fill(e.target), c.arrives
	for _, key := range keys {
		e.secrets = append(e.secrets, key.Reveal())
	}
	if c.signed.key != "" {
		c.signed.sign(&e, keys)
	}
	for _, line := range c.headers {
		e.lines = append(e.lines, keys.fill(line))
	}
	return e
}

func (c *testCase) compare(t *testing.T, got outcome, e testRequest) {
	t.Helper()
	if got.allowed != c.want.Allows() || got.status != c.want.Status() {
		t.Fatalf("got %s with status %d, want %v with %d", got.code, got.status, c.want, c.want.Status())
	}
	if got.code != c.want.String() && (e.method != "HEAD" || got.code != "") && (!got.codeless || !c.want.Allows()) {
		t.Errorf("code %q, want %v", got.code, c.want)
	}
	sent := strings.Join(e.lines, "\n")
	if c.id != "" && got.requestID != c.id || c.id == "" && (len(got.requestID) != len(rand.Text()) ||
		strings.Contains(sent, got.requestID)) {
		t.Errorf("request id %q", got.requestID)
	}
	c.compareCORS(t, got)
	c.compareRates(t, got.headers)
	if !c.want.Allows() {
		c.compareDenial(t, got)
		return
	}
	injected := injectedFor(c.key, c.owner)
	slices.Sort(injected)
	if !slices.Equal(got.injected, injected) {
		t.Errorf("injected\n%s\nwant\n%s", strings.Join(got.injected, "\n"), strings.Join(injected, "\n"))
	}
	c.compareExposed(t, got, e)
	if !got.hasUpstream {
		return
	}
	upstream := append(slices.Clone(c.upstream), injected...)
	upstream = append(upstream, "X-Request-Id: "+got.requestID)
	slices.Sort(upstream)
	if !slices.Equal(got.upstream, upstream) {
		t.Errorf("the upstream sees\n%s\nwant\n%s", strings.Join(got.upstream, "\n"), strings.Join(upstream, "\n"))
	}
}

// value returns the value of a header of the request, with all its lines.
func (c *testCase) value(name string) string {
	var values []string
	for _, line := range c.headers {
		if sent, value, _ := strings.Cut(line, ":"); strings.EqualFold(sent, name) {
			values = append(values, strings.Trim(value, " \t"))
		}
	}
	return strings.Join(values, ", ")
}

// compareCORS compares what a page could read.
func (c *testCase) compareCORS(t *testing.T, got outcome) {
	t.Helper()
	if !got.setsHeaders {
		return
	}
	wantVary, wantMethods, wantAge := "Authorization, X-Api-Key, Origin", "", ""
	if c.value("Origin") == "" {
		wantVary += ", Referer"
		if c.value("Referer") == "" {
			wantVary += ", Sec-Fetch-Site"
		}
	}
	if c.varies != "" {
		wantVary += ", " + c.varies
	}
	if c.want == decision.Preflight || c.preflight {
		wantVary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	}
	if c.want == decision.Preflight {
		wantMethods, wantAge = "GET, HEAD"+c.methods, "600"
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": c.readable, "Vary": wantVary, "Access-Control-Allow-Methods": wantMethods,
		"Access-Control-Max-Age":           wantAge,
		"Access-Control-Allow-Credentials": "",
	} {
		if lines := strings.Join(got.headers[name], "|"); lines != want {
			t.Errorf("%s: %q, want %q", name, lines, want)
		}
	}
	wantDeprecation := ""
	if c.key == "retiring" { // a newer version of the key exists
		wantDeprecation = "@" + strconv.FormatInt(now.Unix(), 10)
	}
	if got := got.headers.Get("Deprecation"); got != wantDeprecation {
		t.Errorf("Deprecation: %q, want %q", got, wantDeprecation)
	}
	if got.headers.Get("Sunset") != "" != (c.key == "retiring") {
		t.Errorf("Sunset: %q", got.headers.Get("Sunset"))
	}
	if exposed := got.headers.Get("Access-Control-Expose-Headers"); (exposed != "") != (c.readable != "" && c.want != decision.Preflight) {
		t.Errorf("exposed: %q", exposed)
	}
	if headers := got.headers.Get("Access-Control-Allow-Headers"); c.want == decision.Preflight &&
		!strings.HasPrefix(headers+",", "Authorization, X-Api-Key, Content-Type"+c.asked+",") {
		t.Errorf("allowed headers: %q", headers)
	}
}

func (c *testCase) compareDenial(t *testing.T, got outcome) {
	t.Helper()
	if len(got.injected) > 0 {
		t.Errorf("a denial injects %q", got.injected)
	}
	wantRetry := map[int]string{http.StatusTooManyRequests: "60", http.StatusPaymentRequired: "86400",
		http.StatusServiceUnavailable: "1"}[c.want.Status()]
	if c.want == decision.RateLimited && c.world != worldPublic {
		wantRetry = "2" // one request is allowed in 1.5 seconds
	}
	if got.retryAfter != wantRetry && !got.isVerdict {
		t.Errorf("Retry-After: %q, want %q", got.retryAfter, wantRetry)
	}
	if got.problem.Code != "" {
		p := got.problem
		if p.Type != "https://keyward.dev/problems/"+c.want.String() || p.Title != c.want.Title() ||
			p.Status != c.want.Status() || p.Detail != c.want.DetailFor(c.value("Sec-Fetch-Site")) {
			t.Errorf("problem %+v", p)
		}
		if (got.challenge != "") != (c.want.Status() == 401) {
			t.Errorf("WWW-Authenticate: %q", got.challenge)
		}
	}
}
