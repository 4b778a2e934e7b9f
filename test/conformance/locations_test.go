package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/decision"
)

// Where keys may be in addition: the parameter token, this header, the scheme ApiKey.
const otherKeyHeader = "Ocp-Apim-Subscription-Key"

// keepsKey are the integrations from whose requests nobody can remove a key in the URL, and the others.
const (
	keepsKey   = "awsauthorizer|forwardauth, plain|forwardauth, traefik|forwardauth, ingress-nginx|forwardauth, gateway-api|forwardauth, envoy-http"
	removesKey = "extauthz|verifyapi|reverseproxy|forwardauth, nginx|forwardauth, caddy|forwardauth, haproxy"

	sessionJWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
)

// allowedInURL is a request with a key in the URL that its group accepts.
func allowedInURL(name, guards, target, arrives string, headers ...string) testCase {
	return testCase{name: name, guards: guards, request: "- - " + target, headers: headers, key: "embed", owner: "default",
		arrives: arrives, except: keepsKey}
}

func deniedInURL(name, guards, target string, want decision.Code, headers ...string) testCase {
	return testCase{name: name, guards: guards, request: "- - " + target, headers: headers, want: want}
}

// locationTable is about where the key is.
var locationTable = []testCase{
	allowedInURL("in the query", "embeds that cannot set headers", "/x?token={embed}", "/x"),
	allowedInURL("in the query, in front", "a separator of the key's parameter that is left", "/x?token={embed}&a=b", "/x?a=b"),
	allowedInURL("in the query, at the end", "a separator at the end that is left", "/x?a=b&token={embed}", "/x?a=b"),
	allowedInURL("in the query, among others", "parameters that are written again where only the key is cut",
		"/x?z=%2B&a=1+2&token={embed}&a=%7e&c", "/x?z=%2B&a=1+2&a=%7e&c"),
	allowedInURL("in the query, under an encoded name", "content servers that decode the name of a parameter that nobody removed",
		"/x?%74oken={embed}", "/x"),
	allowedInURL("in the query and in a header", "clients that send the key twice, to be sure, and one of them in the URL",
		"/x?token={embed}", "/x", "X-Api-Key: {embed}"),
	allowedInURL("in the query, beside a session", "an app's own session that is taken for a second key", "/x?token={embed}", "/x",
		"Authorization: Bearer "+sessionJWT).sees("Authorization: Bearer " + sessionJWT),
	{name: "an empty parameter and a header", guards: "an empty parameter that is taken for a key", request: "- - /x?token=&a",
		headers: bearer("embed"), key: "embed", owner: "default", arrives: "/x?a"},
	deniedInURL("an empty parameter", "an empty parameter that is taken for a malformed key", "/x?token=", decision.KeyMissing),
	deniedInURL("in the query, where only headers are accepted", "keys in the logs of somebody who did not want that",
		"/api/scenes/mkt-1?token={good}", decision.KeyLocationDenied),
	deniedInURL("in the query and in a header, where only headers are accepted", "a key in a URL that nobody notices because another header has it",
		"/api/scenes/mkt-1?token={good}", decision.KeyLocationDenied, "X-Api-Key: {good}"),
	{name: "in the query, where nobody can remove it", guards: "a content server that gets the key because its gateway cannot rewrite targets",
		request: "- - /x?token={embed}", want: decision.KeyLocationDenied, except: removesKey},
	deniedInURL("in the query, unknown", "keys that are guessed in URLs", "/x?token={unknown}", decision.KeyUnknown),
	deniedInURL("in the query, revoked", "a place that says more about a key than its state", "/x?token={revoked}", decision.KeyRevoked),
	deniedInURL("in the query, twice", "readers of which one takes the first parameter, and one the last",
		"/x?token={embed}&token={embed}", decision.KeyMalformed),
	deniedInURL("in the query, two of them", "a second key that a content server could read", "/x?token={embed}&token={good}",
		decision.KeyMalformed),
	deniedInURL("in the query, and another in a header", "a decision on one key where the other is in force", "/x?token={embed}",
		decision.KeyMalformed, "X-Api-Key: {good}"),
	deniedInURL("in the query, and another in Authorization", "a decision on a key in the URL where Authorization is in force",
		"/x?token={embed}", decision.KeyMalformed, "Authorization: Bearer {good}"),
	deniedInURL("in the query, cut off", "a part of a key that is taken for none", "/x?token=vctrl_1", decision.KeyMalformed),
	deniedInURL("in the query, under a name in capitals", "readers that compare names without case", "/x?Token={embed}",
		decision.QueryAmbiguous).not("awsauthorizer, 1.0"),
	deniedInURL("in the query, as a list", "PHP and qs, which read name[] as name", "/x?token[]={embed}", decision.QueryAmbiguous),
	deniedInURL("in the query, encoded twice", "a proxy behind that decodes once more", "/x?%2574oken={embed}", decision.QueryAmbiguous),
	deniedInURL("in the query, with a space in front", "PHP, which drops white space before names", "/x?+token={embed}",
		decision.QueryAmbiguous).not("awsauthorizer, 1.0"),
	deniedInURL("in the query, behind a semicolon", "readers that take ';' for '&'", "/x?a=b;token={embed}", decision.QueryAmbiguous).
		not("awsauthorizer, 1.0"),
	deniedInURL("in the query, before a semicolon", "readers that end the key at ';'", "/x?token={embed};a=b", decision.QueryAmbiguous).
		not("awsauthorizer, 1.0"),
	deniedInURL("in the path, too", "a path that still has the key after the query has lost it", "/{embed}?token={embed}",
		decision.PathAmbiguous),
	{name: "in the query, too many failures", guards: "guesses in URLs that are not counted", request: "- - /x?token={unknown}",
		client: failingIPv4, world: worldFailed, want: decision.TooManyFailures},
	{name: "preflight of a URL with a key", guards: "browsers that ask about the URL with its key",
		request: "OPTIONS - /api/scenes/mkt-1?token={good}", headers: asks(acmePage, "GET"), want: decision.Preflight, readable: acmePage,
		except: "aws"},

	{name: "in another header", guards: "clients of another platform, with that platform's header",
		headers: []string{otherKeyHeader + ": {good}"}, key: "good", owner: "marketing", varies: otherKeyHeader},
	{name: "in another header, twice", guards: "another header with two lines", want: decision.KeyMalformed,
		headers: []string{otherKeyHeader + ": {good}", otherKeyHeader + ": {good}"}, varies: otherKeyHeader,
		except: "awsauthorizer, 2.0|extauthz"},
	{name: "in two headers, differently", guards: "two headers for keys, of which each reader takes another",
		headers: []string{otherKeyHeader + ": {good}", "X-Api-Key: {both}"}, want: decision.KeyMalformed, varies: otherKeyHeader},
	{name: "under another scheme", guards: "clients of another platform, with that platform's scheme",
		headers: []string{"Authorization: apikey {good}"}, key: "good", owner: "marketing"},
	{name: "as a user", guards: "curl -u KEY:", headers: []string{"Authorization: Basic {basic good}"}, key: "good", owner: "marketing"},
	{name: "as a user, and another key", guards: "a second key that looks like the app's own user",
		headers: []string{"Authorization: Basic {basic good}", "X-Api-Key: {both}"}, want: decision.KeyMalformed},
	{name: "beside a session", guards: "apps with sessions of their own, which lose either the session or the key",
		headers: []string{"Authorization: Bearer " + sessionJWT, "X-Api-Key: {good}"}, key: "good", owner: "marketing",
		upstream: []string{"Authorization: Bearer " + sessionJWT}},
	{name: "beside an opaque token", guards: "an imported key that is taken for a session, and passed on",
		headers: []string{"Authorization: Bearer {imported}", "X-Api-Key: {good}"}, want: decision.KeyMalformed},

	{name: "as a subprotocol", guards: "browsers, which choose nothing else of a handshake",
		headers: []string{"Sec-WebSocket-Protocol: keyward, keyward.key.{embed}"}, key: "embed", owner: "default", arrives: usualTarget,
		selects: "keyward", varies: protocolHeader, except: keepsKey},
	{name: "as the only subprotocol", guards: "browsers that close a WebSocket for which nothing was selected",
		headers: []string{"Sec-WebSocket-Protocol: keyward.key.{embed}"}, key: "embed", owner: "default", arrives: usualTarget,
		selects: "keyward.key.{embed}", varies: protocolHeader, except: keepsKey},
	{name: "as a subprotocol among others", guards: "a subprotocol of the app that is selected although the app does not speak it",
		headers: []string{"Sec-WebSocket-Protocol: chat, keyward.key.{embed}, soap"}, key: "embed", owner: "default", arrives: usualTarget,
		upstream: []string{"Sec-Websocket-Protocol: chat, soap"}, varies: protocolHeader, except: keepsKey},
	{name: "as a subprotocol in capitals", guards: "a key that passes on because of its spelling",
		headers: []string{"Sec-WebSocket-Protocol: Keyward.KEY.{embed}"}, key: "embed", owner: "default", arrives: usualTarget,
		selects: "Keyward.KEY.{embed}", varies: protocolHeader, except: keepsKey},
	{name: "other subprotocols", guards: "subprotocols that are lost where there is a key in a header",
		headers: []string{"X-Api-Key: {good}", "Sec-WebSocket-Protocol: chat, soap"}, key: "good", owner: "marketing",
		upstream: []string{"Sec-Websocket-Protocol: chat, soap"}},
	{name: "as a subprotocol, where only headers are accepted", guards: "a place for keys that a group did not choose",
		headers: []string{"Sec-WebSocket-Protocol: keyward.key.{good}"}, want: decision.KeyLocationDenied, varies: protocolHeader},
	{name: "as a subprotocol behind a space", guards: "content servers that trim other spaces around a subprotocol, or split at them",
		headers: []string{"Sec-WebSocket-Protocol: chat, \u00a0keyward.key.{embed}"}, want: decision.KeyMalformed, varies: protocolHeader},
	{name: "as a subprotocol, twice", guards: "two keys in one list", want: decision.KeyMalformed, varies: protocolHeader,
		headers: []string{"Sec-WebSocket-Protocol: keyward.key.{embed}, keyward.key.{embed}"}},
	{name: "as a subprotocol, and another in a header", guards: "a decision on a header where the content server reads subprotocols",
		headers: []string{"X-Api-Key: {good}", "Sec-WebSocket-Protocol: keyward.key.{embed}"}, want: decision.KeyMalformed,
		varies: protocolHeader},
}

const protocolHeader = "Sec-Websocket-Protocol"

func (c testCase) sees(lines ...string) testCase {
	c.upstream = lines
	return c
}

// not excepts integrations that do not get the query as it was sent.
func (c testCase) not(integrations string) testCase {
	c.except = integrations
	return c
}

// wanted is the target that the upstream must see.
func (e *testRequest) wanted() string {
	if e.arrives != "" {
		return e.arrives
	}
	return e.target
}

// isPassed reports whether a header that may carry a key may also be the content server's own.
func isPassed(folded string) bool {
	return folded == "authorization" || strings.EqualFold(folded, protocolHeader)
}

// compareSecrets looks for a key in what the upstream would see.
func (e *testRequest) compareSecrets(t *testing.T, seen string) {
	t.Helper()
	for _, secret := range e.secrets {
		if e.arrives != "" && strings.Contains(seen, secret) {
			t.Errorf("a key is in %s", strings.ReplaceAll(seen, secret, "{KEY}"))
		}
	}
}

// compareExposed compares what the gateway has to replace in the request.
func (c *testCase) compareExposed(t *testing.T, got outcome, e testRequest) {
	t.Helper()
	if got.target != "" && got.target != e.wanted() {
		t.Errorf("the upstream's target is %q, want %q", got.target, e.wanted())
	}
	if got.passed != nil {
		want := slices.DeleteFunc(slices.Clone(c.upstream), func(line string) bool {
			name, _, _ := strings.Cut(line, ":")
			return !isPassed(strings.ToLower(name))
		})
		if passed := got.passed[1:]; !slices.Equal(passed, want) {
			t.Errorf("passed on: %q, want %q", passed, want)
		}
	}
	if got.target == "" {
		return
	}
	want := c.selects
	if i := strings.Index(want, "{"); i >= 0 {
		want = want[:i]
	}
	if !strings.HasPrefix(got.selects, want) || (got.selects == "") != (want == "") {
		t.Errorf("selects %q, want %q", got.selects, c.selects)
	}
}
