package gateways

import (
	"net/http"
	"slices"
	"testing"
)

// TestTwoUpgrades: of two headers Upgrade, the content server sees nothing but WebSocket, in any order.
func TestTwoUpgrades(t *testing.T) {
	for _, g := range append(gateways, own) {
		t.Run(g.name, func(t *testing.T) {
			w := newWorld(t)
			address := g.start(t, w)
			waitFor(t, address)
			for _, upgrades := range [][]string{{"Upgrade: websocket", "Upgrade: h2c"}, {"Upgrade: h2c", "Upgrade: websocket"}} {
				got := w.roundTrip(t, address, testCase{headers: append([]string{"Authorization: Bearer {key}",
					"Connection: Upgrade, HTTP2-Settings", webSocketKey, "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"}, upgrades...)})
				asked := got.seen.Values("Upgrade")
				if len(asked) > 0 && !slices.Equal(asked, []string{"websocket"}) || got.seen.Get("Http2-Settings") != "" ||
					got.seen == nil && got.status != http.StatusBadRequest {
					t.Errorf("%q: %d, and the content server sees %v", upgrades, got.status, got.seen)
				}
			}
		})
	}
}

// TestHAProxyHTTP2: in HTTP/2 every target names a host, and the content server uses HTTP/1.
func TestHAProxyHTTP2(t *testing.T) {
	w := newWorld(t)
	address := haproxy.start(t, w)
	waitFor(t, address)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/media/1?a=b", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "cdn.acme.example"
	request.Header.Set("X-Api-Key", w.key)
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		t.Fatal(response.Proto, response.Status)
	}
	if seen := <-w.seen; seen.Get(headerTarget) != "/media/1?a=b" || seen.Get(headerHost) != "cdn.acme.example" {
		t.Errorf("the content server sees %v", seen)
	}
}
