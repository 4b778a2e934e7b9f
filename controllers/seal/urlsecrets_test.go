package seal

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
)

// TestURLSecrets: only the manager's secret opens them, and only for their version.
func TestURLSecrets(t *testing.T) {
	keys, err := NewKeys(bytes.Repeat([]byte{1}, RootBytes))
	if err != nil {
		t.Fatal(err)
	}
	others, err := NewKeys(bytes.Repeat([]byte{2}, RootBytes))
	if err != nil {
		t.Fatal(err)
	}
	secret := bytes.Repeat([]byte{3}, 32)
	sealed, err := keys.SealURLSecret(secret, "sha256:a", rand.Reader)
	if err != nil || len(sealed) != 83 { // as the schema says
		t.Fatalf("%d characters, %v", len(sealed), err)
	}
	if got, err := keys.OpenURLSecret(sealed, "sha256:a"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("%x, %v", got, err)
	}
	again, err := keys.SealURLSecret(secret, "sha256:a", rand.Reader)
	if err != nil || again == sealed {
		t.Errorf("the nonce repeats: %v", err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another manager": func() ([]byte, error) { return others.OpenURLSecret(sealed, "sha256:a") },
		"another version": func() ([]byte, error) { return keys.OpenURLSecret(sealed, "sha256:b") },
		"nothing":         func() ([]byte, error) { return keys.OpenURLSecret("", "sha256:a") },
		"no version":      func() ([]byte, error) { return keys.OpenURLSecret(sealed[3:], "sha256:a") },
		"cut off":         func() ([]byte, error) { return keys.OpenURLSecret(sealed[:len(sealed)-4], "sha256:a") },
		"a nonce alone":   func() ([]byte, error) { return keys.OpenURLSecret(sealed[:19], "sha256:a") },
	} {
		if got, err := open(); err == nil || got != nil {
			t.Errorf("%s: opened %x", name, got)
		}
	}
	for i := 3; i < len(sealed); i++ {
		changed := []byte(sealed)
		changed[i] ^= 1
		if got, err := keys.OpenURLSecret(string(changed), "sha256:a"); err == nil {
			t.Errorf("with another character %d: %x", i, got)
		}
	}
}

// TestKeysThatCannotBeRead: they open nothing, and whoever holds them does not have to ask whether they are known.
func TestKeysThatCannotBeRead(t *testing.T) {
	var unknown *Keys
	if secret, err := unknown.OpenURLSecret("v1."+strings.Repeat("A", 80), "a digest"); err == nil || secret != nil {
		t.Errorf("%x, %v", secret, err)
	}
}
