package leaks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// signer is GitHub: its keys, and how often they were fetched.
type signer struct {
	*httptest.Server
	key     *ecdsa.PrivateKey
	fetched atomic.Int32
	down    atomic.Bool
}

func newSigner(t testing.TB, id string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{"public_keys": []map[string]any{
		{"key_identifier": "broken", "key": "no PEM", "is_current": false},
		{"key_identifier": id, "key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "is_current": true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{key: key}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fetched.Add(1)
		if s.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		_, _ = w.Write(document)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *signer) sign(t testing.TB, body []byte) string {
	t.Helper()
	digest := sha256.Sum256(body)
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

func TestSignatures(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	github := newSigner(t, "k1")
	keys := newPublicKeys(github.URL, clk)
	body := []byte(`[{"token":"x"}]`)
	signature := github.sign(t, body)
	if err := keys.verify(t.Context(), "k1", signature, body); err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]struct {
		id, signature string
		body          []byte
	}{
		"another body":    {"k1", signature, []byte(`[{"token":"y"}]`)},
		"another key":     {"k1", newSigner(t, "k1").sign(t, body), body},
		"no base64":       {"k1", "*", body},
		"no signature":    {"k1", "", body},
		"no id":           {"", signature, body},
		"an unknown id":   {"k2", signature, body},
		"an unusable key": {"broken", signature, body},
	} {
		if err := keys.verify(t.Context(), request.id, request.signature, request.body); !errors.Is(err, errSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := github.fetched.Load(); n != 1 {
		t.Errorf("unknown ids had the keys fetched %d times within a minute", n)
	}
	clk.Step(keysRetry)
	_ = keys.verify(t.Context(), "k2", signature, body)
	if n := github.fetched.Load(); n != 2 {
		t.Errorf("fetched %d times", n)
	}
	// Known keys stay known while they cannot be fetched.
	github.down.Store(true)
	clk.Step(2 * keysTTL)
	if err := keys.verify(t.Context(), "k1", signature, body); err != nil || github.fetched.Load() != 3 {
		t.Errorf("%v, fetched %d times", err, github.fetched.Load())
	}
}

func TestSignaturesNeedKeys(t *testing.T) {
	github := newSigner(t, "k1")
	github.down.Store(true)
	keys := newPublicKeys(github.URL, clocktesting.NewFakeClock(time.Now()))
	for range 3 {
		if err := keys.verify(t.Context(), "k1", github.sign(t, []byte("x")), []byte("x")); err == nil || errors.Is(err, errSignature) {
			t.Errorf("got %v", err)
		}
	}
	if n := github.fetched.Load(); n != 1 {
		t.Errorf("fetched %d times within a minute", n)
	}
}
