package store

import (
	"bytes"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/pkg/urltoken"
)

// TestURLSecretsAreThoseOfTheRecord: they survive restarts, change with the record of the key, and end with it.
func TestURLSecretsAreThoseOfTheRecord(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	signing := func(n int, secret byte) *syncv1.Key {
		k := key("acme", n)
		k.Versions[0].UrlSecret = bytes.Repeat([]byte{secret}, urltoken.SecretSize)
		return k
	}
	requireSecret := func(n int, want byte) {
		t.Helper()
		digest := keyformat.Digest(key("acme", n).GetVersions()[0].GetDigest())
		of, secret, ok := s.Signer(urltoken.IDOf(digest))
		if ok != (want != 0) || ok && (of != digest || !bytes.Equal(secret, bytes.Repeat([]byte{want}, urltoken.SecretSize))) {
			t.Errorf("key %d: %t, %x", n, ok, secret)
		}
	}
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{signing(1, 1), signing(2, 2), key("acme", 3)}})
	for range 3 { // from the stream, from the journal, and from what that was compacted to
		requireSecret(1, 1)
		requireSecret(2, 2)
		requireSecret(3, 0)
		s = open(t, Config{Dir: dir})
	}
	apply(t, s, &syncv1.Update{Keys: []*syncv1.Key{key("acme", 1), signing(3, 3)}})
	requireSecret(1, 0)
	requireSecret(3, 3)
	apply(t, s, &syncv1.Update{DeletedKeys: []string{key("acme", 2).GetId()}})
	requireSecret(2, 0)
	wrong := signing(3, 3)
	wrong.Versions[0].UrlSecret = []byte("short")
	apply(t, s, &syncv1.Update{Keys: []*syncv1.Key{wrong}})
	requireSecret(3, 0)
	if s.HasKey(wrong.GetId()) {
		t.Error("a key with a secret that is not one is accepted")
	}
	if len(s.urls.byDigest)+len(s.urls.byID) > 0 {
		t.Errorf("%d secrets are left", len(s.urls.byDigest))
	}
}
