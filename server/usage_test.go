package server

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// TestUsageIsReported: the use of a key is reported to clients that present the admin token; of origins nothing but scheme, host
// and port.
func TestUsageIsReported(t *testing.T) {
	const token = "a-token-of-some-length"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--admin-token-file="+file, "--upstream="+upstream(t, echo)))
	m.Next().Send(catchUp(key))
	proxy, usage := "http://"+v.addresses.Proxy.String(), "http://"+v.addresses.Admin.String()+"/v1/usage"
	for _, header := range [][]string{
		{"Origin", "http://localhost:3000"}, {"Referer", "http://LOCALHOST:3000/secret-path?secret-query=" +
			key.Reveal()}, {"X-Nothing", ""},
	} {
		if status, _, _ := do(t, proxy+"/content", append(header, "Authorization", "Bearer "+key.Reveal())...); status != http.StatusOK {
			t.Fatalf("%v: %d", header, status)
		}
	}
	do(t, proxy+"/content", "Authorization", "Bearer "+key.Reveal(), "Origin", "https://evil.example") // this one is denied
	for _, query := range []string{"?group=tenants/acme", "?key=k1"} {
		if status, _, _ := do(t, usage+query); status != http.StatusUnauthorized {
			t.Errorf("without the token: %d", status)
		}
		status, _, text := do(t, usage+query, "Authorization", "Bearer "+token)
		for _, want := range []string{`"keyId":"k1"`, `"requests":3,"lastUsedAt":"`,
			`"origins":[{"origin":"http://localhost:3000","requests":2}]`, `"total":1`} {
			if status != http.StatusOK || !strings.Contains(text, want) {
				t.Errorf("%d, no %s in %s", status, want, text)
			}
		}
		if strings.Contains(text, "secret") || strings.Contains(text, key.Reveal()) || strings.Contains(text, "evil") {
			t.Errorf("it reveals too much: %s", text)
		}
	}
	if status, _, text := do(t, usage+"?group=tenants/other", "Authorization", "Bearer "+token); status != http.StatusNotFound {
		t.Errorf("%d %s", status, text)
	}
	off := start(t, configFor(t, m))
	if status, _, text := do(t, "http://"+off.addresses.Admin.String()+"/v1/usage?key=k1"); status != http.StatusNotFound ||
		!strings.Contains(text, "--admin-token-file") {
		t.Errorf("without the flag: %d %s", status, text)
	}
}
