package gateways

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

const sessionJWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

// locationContexts are requests with a key elsewhere than in Authorization.
var locationContexts = []testCase{
	{name: "in the URL", target: "/media/1?a=%2b+%7e&token={embed}&&b", status: 200,
		response: map[string]string{"Referrer-Policy": "strict-origin"},
		seen:     map[string]string{headerTarget: "/media/1?a=%2b+%7e&&b", "X-Keyward-Key-Id": "id-embed"}},
	{name: "alone in the URL", target: "/media/1?token={embed}", status: 200, seen: map[string]string{headerTarget: "/media/1"}},
	{name: "in the URL, encoded", target: "/media/a%20b%2Bc?%74oken={embed}&x=%26", status: 200,
		seen: map[string]string{headerTarget: "/media/a%20b%2Bc?x=%26"}},
	{name: "in the URL, for a page", target: "/media/1?token={embed}", headers: []string{"Origin: " + page}, status: 200,
		response: map[string]string{"Access-Control-Allow-Origin": page}, seen: map[string]string{headerTarget: "/media/1"}},
	{name: "in the URL of the page", target: "/media/1", headers: []string{"X-Api-Key: {key}", "Referer: " + page + "/embed?x&token={embed}"},
		status: 200, seen: map[string]string{"Referer": page + "/embed?x"}},
	{name: "signed", target: "/media/1?a=%2b+%7e&keyward-token={signed}&&b", status: 200,
		response: map[string]string{"Referrer-Policy": "strict-origin"},
		seen:     map[string]string{headerTarget: "/media/1?a=%2b+%7e&&b", "X-Keyward-Key-Id": "id-embed"}},
	{name: "signed, and nothing else in the URL", target: "/media/1?keyward-token={signed}", status: 200,
		seen: map[string]string{headerTarget: "/media/1"}},
	{name: "signed, the URL of the page", target: "/media/1", headers: []string{"X-Api-Key: {key}", "Referer: " + page + "/embed?x&keyward-token={signed}"},
		status: 200, seen: map[string]string{"Referer": page + "/embed?x"}},
	{name: "signed, and changed", target: "/media/1?keyward-token={signed}A", status: 401, code: "url_invalid"},
	{name: "a policy of the content server", target: "/media/1?token={embed}&say-referrer-policy=no-referrer", status: 200,
		response: map[string]string{"Referrer-Policy": "no-referrer"}},
	{name: "no policy without a key in the URL", headers: []string{"Authorization: Bearer {key}"}, status: 200,
		response: map[string]string{"Referrer-Policy": ""}},
	{name: "in the URL, where only headers are accepted", target: "/media/1?token={key}", status: 401, code: "key_location_denied"},
	{name: "in the URL, twice", target: "/media/1?token={embed}&token={embed}", status: 401, code: "key_malformed"},
	{name: "in the URL, for some readers", target: "/media/1?token[]={embed}", status: 400, code: "query_ambiguous"},
	{name: "a path with the text of the query", target: "/media/token=?token=", headers: []string{"X-Api-Key: {key}"}, status: 400,
		code: "path_ambiguous"},
	{name: "beside a session", headers: []string{"X-Api-Key: {key}", "Authorization: Bearer " + sessionJWT}, status: 200,
		seen: map[string]string{"Authorization": "Bearer " + sessionJWT, "X-Api-Key": ""}},
	{name: "as a user", headers: []string{"X-Api-Key: {key}", "Authorization: Basic dTpw"}, status: 200,
		seen: map[string]string{"Authorization": "Basic dTpw"}},
	{name: "preflight of a URL with a key", method: "OPTIONS", target: "/media/1?token={embed}",
		headers: []string{"Origin: " + page, "Access-Control-Request-Method: GET"}, status: 204, mute: true,
		response: map[string]string{"Access-Control-Allow-Origin": page}},
}

// TestKeysElsewhere: no key, and no token of a signed URL, reaches the content server or a log, wherever it was; the rest of the request arrives as it was
// sent.
func TestKeysElsewhere(t *testing.T) {
	for _, g := range append([]gateway{own}, gateways...) {
		t.Run(g.name, func(t *testing.T) {
			w := newWorld(t)
			w.keysInURLs = true
			address := g.start(t, w)
			waitFor(t, address)
			for _, e := range locationContexts {
				t.Run(e.name, func(t *testing.T) {
					got, seenBy := w.roundTrip(t, address, e), g
					if strings.Contains(e.target, "oken=") {
						seenBy.namesNothing, seenBy.overrides = false, false // Traefik lets the reverse proxy respond
					}
					seenBy.compare(t, e, got)
					for _, key := range []string{w.key, w.embed, w.signed} {
						if strings.Contains(fmt.Sprint(got.seen), key) {
							t.Errorf("the content server sees a key or a token: %v", got.seen)
						}
					}
					hasSecret := strings.Contains(e.target, "{embed}") || strings.Contains(e.target, "{signed}")
					if hasSecret && e.status == http.StatusOK &&
						!strings.Contains(got.header.Get("Cache-Control"), "private") && got.header.Get("Cache-Control") != "no-store" {
						t.Errorf("shared caches may keep it: %q", got.header["Cache-Control"])
					}
				})
			}
			for _, s := range []struct {
				offered  []string // {embed} stands for the key
				want     string
				selected string
			}{
				{[]string{"keyward", "keyward.key.{embed}"}, "", "keyward"},
				{[]string{"keyward.key.{embed}"}, "", "keyward.key.{embed}"},
				{[]string{"keyward.key.{embed}", "chat"}, "chat", "chat"},
				{[]string{"soap", "chat", "keyward", "keyward.key.{embed}"}, "soap, chat", "chat"},
			} {
				t.Run(fmt.Sprint("subprotocols ", s.offered), func(t *testing.T) {
					selected, seen := w.offer(t, address, s.offered)
					if fill := strings.NewReplacer("{embed}", w.embed); selected != fill.Replace(s.selected) {
						t.Errorf("selected %q", strings.ReplaceAll(selected, w.embed, "{embed}"))
					}
					if got := strings.Join(seen.Values("Sec-WebSocket-Protocol"), ", "); got != s.want ||
						seen.Get("X-Keyward-Key-Id") != "id-embed" {
						t.Errorf("the content server is offered %q", got)
					}
				})
			}
			if !t.Failed() {
				w.searchLogs(t, &g)
			}
		})
	}
}

// offer opens a WebSocket with these subprotocols, and returns the one that was selected, and what the content server has
// seen.
func (w *world) offer(t *testing.T, address string, offered []string) (string, http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	names := make([]string, 0, len(offered))
	for _, name := range offered {
		names = append(names, strings.ReplaceAll(name, "{embed}", w.embed))
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(usualClient)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	defer transport.CloseIdleConnections()
	conn, _, err := websocket.Dial(ctx, "ws://"+address+"/media/chat", &websocket.DialOptions{ //nolint:bodyclose // there is none
		HTTPClient: &http.Client{Transport: transport}, Host: "cdn.acme.example", Subprotocols: names,
	})
	if err != nil {
		t.Fatal(strings.ReplaceAll(err.Error(), w.embed, "{embed}"))
	}
	defer func() { _ = conn.CloseNow() }()
	return conn.Subprotocol(), <-w.seen
}

// searchLogs has the content server fail, too, which programs report, and looks for keys in everything that they have
// written.
func (w *world) searchLogs(t *testing.T, g *gateway) {
	t.Helper()
	broken := newWorld(t)
	broken.keysInURLs, broken.content = true, freeAddress(t)
	if g.name == own.name {
		return // it logs neither path nor query, which its own tests check
	}
	address := g.start(t, broken)
	waitFor(t, address)
	e := testCase{target: "/media/1?token={embed}&marker=1"}
	if got := broken.roundTrip(t, address, e); got.status < http.StatusInternalServerError {
		if g.name != traefik.name { // whose requests go through another proxy, to a content server that works
			t.Fatalf("a content server that is unavailable responds %d", got.status)
		}
	}
	for _, in := range []*world{w, broken} {
		for _, log := range in.logs {
			text := ""
			await(t, "the log of requests", func() bool {
				text = log.text(t)
				return strings.Contains(text, "/media/1") || g.name == traefik.name && strings.Contains(text, "RequestMethod")
			})
			for _, key := range []string{in.key, in.embed, in.signed} {
				if strings.Contains(text, key) {
					t.Errorf("a log has the key: %s", strings.ReplaceAll(text, key, "{KEY}"))
				}
			}
		}
	}
}
