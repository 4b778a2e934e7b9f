package pki

import (
	"bytes"
	"os"
	"testing"
	"time"
)

func TestRenewal(t *testing.T) {
	start := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name                   string
		later                  time.Duration
		sameCA, same, sameSign bool
	}{
		{"next day", 24 * time.Hour, true, true, true},
		{"certificate near expiry", certificateLifetime - renewBefore, true, false, true},
		{"authority near expiry", authorityLifetime - renewBefore, false, false, true},
		{"clock set back", -48 * time.Hour, false, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			before := snapshot(t, dir, start)
			after := snapshot(t, dir, start.Add(test.later))
			for i, want := range []bool{test.sameCA, test.same, test.sameSign} {
				if got := bytes.Equal(before[i], after[i]); got != want {
					t.Errorf("%s kept: %t, want %t", []string{"authority", "certificate", "signing key"}[i], got, want)
				}
			}
		})
	}
}

// TestTornWrite opens a pair of which only the key was replaced before a crash.
func TestTornWrite(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	snapshot(t, dir, now)
	other := t.TempDir()
	snapshot(t, other, now)
	key, err := os.ReadFile(other + "/server.key")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/server.key", key, 0o600); err != nil {
		t.Fatal(err)
	}
	snapshot(t, dir, now)
	if _, _, err := readPair(Files{Cert: dir + "/server.crt", Key: dir + "/server.key"}); err != nil {
		t.Errorf("the pair was not repaired: %v", err)
	}
}

// snapshot opens the authority at an instant and returns its certificate, a server's and the signing key.
func snapshot(t *testing.T, dir string, now time.Time) [3][]byte {
	t.Helper()
	authority, err := Open(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	server, err := authority.Issue("server", Request{CommonName: "server", Hosts: []string{"127.0.0.1", "localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.SigningKey("tokens")
	if err != nil {
		t.Fatal(err)
	}
	var contents [3][]byte
	for i, path := range []string{authority.Cert(), server.Cert, pair.Private} {
		if contents[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return contents
}
