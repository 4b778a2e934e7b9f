package store

import (
	"bytes"
	"os"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

const importedText = "legacy-platform/0123456789+ABCDEF=="

// foreign returns the credential of the imported text, as every integration makes it.
func foreign() decision.Credential {
	return decision.Credential{Form: decision.Foreign, Digest: keyformat.DigestOf(importedText)}
}

func digestSecret(t testing.TB, fill byte) *keyformat.DigestSecret {
	t.Helper()
	secret, err := keyformat.NewDigestSecret(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// imported returns an update with the imported key, known by the digest, as number n of the group.
func imported(n int, digest keyformat.Digest) *syncv1.Key {
	k := key("acme", n)
	k.Versions[0].Digest = digest[:]
	return k
}

func recognizes(s *Store) bool {
	credential := foreign()
	s.Recognize(&credential)
	_, found := s.Find(credential.Digest)
	again := credential
	s.Recognize(&again)
	return found && again == credential // also when it is recognized twice
}

// TestImportedKeysAreRecognized by their keyed digests, also after a restart, and not by another secret.
func TestImportedKeysAreRecognized(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	secret := digestSecret(t, 1)
	apply(t, s, &syncv1.Update{
		Revision: 1, CaughtUp: true, DigestSecret: secret.Bytes(), Groups: []*syncv1.Group{group("acme")},
		Keys: []*syncv1.Key{imported(1, secret.Keyed(keyformat.DigestOf(importedText)))},
	})
	if _, plain := s.Find(foreign().Digest); plain || !recognizes(s) {
		t.Fatalf("it is known by its plain digest: %v, recognized: %v", plain, recognizes(s))
	}
	reopen := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, Config{Dir: dir})
		if !recognizes(s) {
			t.Fatal("it is not recognized after a restart")
		}
	}
	reopen() // from what was appended
	if err := s.compact(); err != nil {
		t.Fatal(err)
	}
	reopen() // from a fresh file
	info, err := os.Stat(journalPath(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("who may read the secret: %v, %v", info.Mode(), err)
	}
	apply(t, s, &syncv1.Update{Revision: 2, DigestSecret: digestSecret(t, 2).Bytes()})
	if recognizes(s) {
		t.Error("it is recognized by another secret")
	}
	apply(t, s, &syncv1.Update{Revision: 3, DigestSecret: []byte("short")})
	apply(t, s, &syncv1.Update{Revision: 4, DigestSecret: secret.Bytes()})
	if !recognizes(s) {
		t.Error("it is not recognized by its own")
	}
}

// TestPlainDigestsOfImportedKeysStayValid: a manager of an earlier release has sent them, or they are not keyed yet.
func TestPlainDigestsOfImportedKeysStayValid(t *testing.T) {
	s := open(t, Config{})
	apply(t, s, &syncv1.Update{Revision: 1, CaughtUp: true, Groups: []*syncv1.Group{group("acme")},
		Keys: []*syncv1.Key{imported(1, foreign().Digest)}})
	if !recognizes(s) {
		t.Error("without a secret it is not recognized")
	}
	apply(t, s, &syncv1.Update{Revision: 2, DigestSecret: digestSecret(t, 1).Bytes()})
	if !recognizes(s) {
		t.Error("beside a secret it is not recognized")
	}
}

// TestHashesOfMintedTextsAreRecognized: nobody knows the form of a text that is imported by its hash, so its digest is keyed, also if the
// text was minted by another Keyward. A text that is known by its plain digest stays so.
func TestHashesOfMintedTextsAreRecognized(t *testing.T) {
	s := open(t, Config{})
	secret := digestSecret(t, 1)
	elsewhere, here := keyformat.DigestOf("minted elsewhere"), keyformat.DigestOf("minted here")
	apply(t, s, &syncv1.Update{
		Revision: 1, CaughtUp: true, DigestSecret: secret.Bytes(), Groups: []*syncv1.Group{group("acme")},
		Keys: []*syncv1.Key{imported(1, secret.Keyed(elsewhere)), imported(2, here)},
	})
	for digest, want := range map[keyformat.Digest]keyformat.Digest{elsewhere: secret.Keyed(elsewhere), here: here} {
		credential := decision.Credential{Form: decision.WellFormed, Digest: digest}
		if s.Recognize(&credential); credential.Digest != want {
			t.Errorf("%v is known by %v, want %v", digest, credential.Digest, want)
		}
		if _, found := s.Find(credential.Digest); !found {
			t.Errorf("%v is not found", digest)
		}
	}
}

// TestRecognizeDoesNotAllocate: junk costs almost nothing if there are no imported keys, and little if there are; it
// allocates nothing.
func TestRecognizeDoesNotAllocate(t *testing.T) {
	s := open(t, Config{})
	apply(t, s, &syncv1.Update{Revision: 1, CaughtUp: true, DigestSecret: digestSecret(t, 1).Bytes()})
	if n := testing.AllocsPerRun(100, func() { credential := foreign(); s.Recognize(&credential) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecognize(b *testing.B) {
	s := fill(b, 10_000)
	credential := foreign()
	b.Run("none imported", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Recognize(&credential)
		}
	})
	if err := s.Apply(&syncv1.Update{DigestSecret: digestSecret(b, 1).Bytes()}); err != nil {
		b.Fatal(err)
	}
	b.Run("junk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Recognize(&credential)
		}
	})
}
