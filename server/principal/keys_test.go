package principal

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newPEM returns a new key, as openssl genpkey -algorithm ed25519 writes it.
func newPEM(t testing.TB) []byte {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(t, private)
}

func pemOf(t testing.TB, private any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func filesOf(keys []*key) (files []string) {
	for _, k := range keys {
		files = append(files, k.file)
	}
	return files
}

func TestReadInTheOrderOfNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string][]byte{"b.pem": newPEM(t), "a.pem": append(append([]byte("a comment\n"), newPEM(t)...), newPEM(t)...),
		".hidden": []byte("-----BEGIN")})
	if err := os.Mkdir(filepath.Join(dir, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	keys, err := read(dir)
	if got := fmt.Sprint(filesOf(keys)); err != nil || got != "[a.pem a.pem b.pem]" {
		t.Errorf("%s, %v", got, err)
	}
	keys, err = read(filepath.Join(dir, "b.pem"))
	if got := fmt.Sprint(filesOf(keys)); err != nil || got != "[b.pem]" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestThumbprint: the example of RFC 8037, appendix A.
func TestThumbprint(t *testing.T) {
	seed, err := encoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	if err != nil {
		t.Fatal(err)
	}
	k := newKey("x.pem", ed25519.NewKeyFromSeed(seed))
	if k.public != "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" || k.id != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("%s, %s", k.public, k.id)
	}
}

func TestBadFiles(t *testing.T) {
	good := newPEM(t)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	agreement, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Split(string(good), "\n")[1] // which no error may have
	many := map[string][]byte{}
	for i := range maxFiles + 1 {
		many[fmt.Sprint(i)] = nil
	}
	nine := map[string][]byte{}
	for i := range maxKeys + 1 {
		nine[fmt.Sprint(i)] = newPEM(t)
	}
	for name, c := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"none":            {nil, "has no key; create a key with: openssl genpkey"},
		"empty":           {map[string][]byte{"a.pem": nil}, "has no key; create"},
		"RSA":             {map[string][]byte{"a.pem": pemOf(t, weak)}, "not one of Ed25519"},
		"P-256":           {map[string][]byte{"a.pem": pemOf(t, other)}, "not one of Ed25519"},
		"X25519":          {map[string][]byte{"a.pem": pemOf(t, agreement)}, "not one of Ed25519"},
		"garbage":         {map[string][]byte{"a.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(body)})}, "not one of Ed25519"},
		"a public key":    {map[string][]byte{"a.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte(body)})}, `of type "PUBLIC KEY"`},
		"a long type":     {map[string][]byte{"a.pem": pem.EncodeToMemory(&pem.Block{Type: strings.Repeat("X", 99)})}, "of type \"" + strings.Repeat("X", maxType) + `"`},
		"cut off":         {map[string][]byte{"a.pem": good[:len(good)-10]}, "not complete"},
		"the second, too": {map[string][]byte{"a.pem": append(newPEM(t), good[:len(good)-10]...)}, "not complete"},
		"too long":        {map[string][]byte{"a.pem": append(make([]byte, maxFile), good...)}, "bytes, which no key has"},
		"twice":           {map[string][]byte{"a.pem": good, "b.pem": good}, "b.pem has the same key as a.pem"},
		"too many":        {nine, "has 9 keys, and at most 8"},
		"too many files":  {many, "more than 64 files"},
		"one of two":      {map[string][]byte{"a.pem": good, "b.txt": []byte("-----BEGIN PRIVATE KEY-----\n" + body)}, "b.txt has a PEM block"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			keys, err := read(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), body) {
				t.Errorf("%d keys, %v", len(keys), err)
			}
		})
	}
	if _, err := read(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a path that does not exist is no error")
	}
}

func TestKeysAreNotShown(t *testing.T) {
	k := newKey("a.pem", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", slog.Any("key", k))
	for _, shown := range []string{fmt.Sprintf("%v", k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), fmt.Sprint([]*key{k}), logged.String()} {
		if !strings.Contains(shown, k.id) || strings.Contains(shown, "0 0 0") || strings.Contains(shown, "AAAA") {
			t.Errorf("it is shown as %s", shown)
		}
	}
}

// FuzzParse: what reads the files neither fails nor accepts what it would not sign with, and its errors have nothing of them but
// types.
func FuzzParse(f *testing.F) {
	f.Add([]byte(""))
	f.Add(pemOf(f, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----"))
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nA: b\n\nMC4C\n-----END EC PRIVATE KEY-----\n-----BEGIN"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parse("a.pem", text)
		if err != nil {
			if len(err.Error()) > 400 || len(keys) > 0 {
				t.Errorf("%d keys, %v", len(keys), err)
			}
			return
		}
		if len(keys) > maxKeys {
			t.Errorf("%d keys", len(keys))
		}
		for _, k := range keys {
			public, err := encoding.DecodeString(k.public)
			if err != nil || len(public) != ed25519.PublicKeySize {
				t.Fatalf("public key %s: %v", k.public, err)
			}
			token := k.sign([]byte("{}"))
			at := strings.LastIndexByte(token, '.')
			signature, err := encoding.DecodeString(token[at+1:])
			if err != nil || !ed25519.Verify(public, []byte(token[:at]), signature) {
				t.Errorf("it does not sign: %v", err)
			}
		}
	})
}
