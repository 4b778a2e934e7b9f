package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// TestHoldersAskAboutTheirKey: at both ports, with the key, and without the content server.
func TestHoldersAskAboutTheirKey(t *testing.T) {
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--upstream="+upstream(t, http.NotFound)))
	m.Next().Send(catchUp(key))
	for _, at := range []string{v.addresses.Proxy.String() + "/.well-known/keyward/key", v.addresses.HTTP.String() + "/.well-known/keyward/key",
		v.addresses.HTTP.String() + "/v1/key"} {
		status, header, text := do(t, "http://"+at, "Authorization", "Bearer "+key.Reveal())
		if status != http.StatusOK || !strings.Contains(text, `"id":"k1"`) || !strings.Contains(text, key.Preview()) ||
			header.Get("Cache-Control") != "no-store" || strings.Contains(text, key.Reveal()) {
			t.Errorf("%s: %d %v %s", at, status, header, text)
		}
		if status, _, text := do(t, "http://"+at); status != http.StatusUnauthorized || !strings.Contains(text, "key_missing") {
			t.Errorf("%s without a key: %d %s", at, status, text)
		}
	}
	if status, _, _ := do(t, "http://"+v.addresses.Proxy.String()+"/.well-known/other", "Authorization", "Bearer "+key.Reveal()); status != http.StatusNotFound {
		t.Errorf("another well-known path is not the content server's: %d", status)
	}
}
