package keyformat

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestKeyedIsHMAC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret")
		text := rapid.String().Draw(t, "text")
		s, err := NewDigestSecret(secret)
		if err != nil {
			t.Fatal(err)
		}
		plain := DigestOf(text)
		mac := hmac.New(sha256.New, secret)
		mac.Write(plain[:])
		if got := s.Keyed(plain); !hmac.Equal(got[:], mac.Sum(nil)) {
			t.Fatalf("Keyed gives %x", got)
		}
	})
}

func TestDigestSecretOf(t *testing.T) {
	s, err := NewDigestSecret([]byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewDigestSecret([]byte(strings.Repeat("t", 32)))
	if err != nil {
		t.Fatal(err)
	}
	minted, err := Mint("kw", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Of(minted); got != minted.Digest().String() || got != other.Of(minted) {
		t.Errorf("the digest of a key of our form is %s, want the plain one", got)
	}
	imported, err := Import("legacy-platform/0123456789+ABCDEF==")
	if err != nil {
		t.Fatal(err)
	}
	text := s.Of(imported)
	if text == other.Of(imported) {
		t.Error("another secret gives the same digest")
	}
	if strings.Contains(text, strings.TrimPrefix(imported.Digest().String(), digestScheme)) {
		t.Error("the digest of an imported key is plain")
	}
	read, err := ReadDigest(text)
	if err != nil || read.SecretID != s.ID() || read.Digest != s.Keyed(imported.Digest()) {
		t.Errorf("ReadDigest(%q) = %+v, %v", text, read, err)
	}
	read, err = ReadDigest(minted.Digest().String())
	if err != nil || read.SecretID != "" || read.Digest != minted.Digest() {
		t.Errorf("ReadDigest of a plain one = %+v, %v", read, err)
	}
}

func TestReadDigestRefuses(t *testing.T) {
	digits := strings.Repeat("a", 64)
	for _, text := range []string{
		"", "sha256:", "hmac-sha256:", "hmac-sha256:" + digits, "hmac-sha256:0123456:" + digits, "hmac-sha256:0123456G:" + digits,
		"hmac-sha256:01234567:" + digits[1:], "hmac-sha256:01234567:" + strings.ToUpper(digits), "hmac-sha256:01234567:sha256:" + digits,
	} {
		if _, err := ReadDigest(text); !errors.Is(err, ErrDigest) {
			t.Errorf("ReadDigest(%q) fails with %v", text, err)
		}
	}
	for _, secret := range [][]byte{nil, make([]byte, 31), make([]byte, 33)} {
		if _, err := NewDigestSecret(secret); !errors.Is(err, ErrDigestSecret) {
			t.Errorf("a secret of %d bytes: %v", len(secret), err)
		}
	}
}

// TestForeignPreviewShowsNothing: everything that prints an imported key shows none of its characters.
func TestForeignPreviewShowsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[!-~]{20,60}`).Draw(t, "text")
		key, err := Import(text)
		if err != nil || !key.IsForeign() {
			t.Skip()
		}
		if key.Preview() != ForeignPreview || key.String() != ForeignPreview || !IsForeignPreview(key.Preview()) {
			t.Fatalf("preview %q", key.Preview())
		}
	})
}

func TestKeyedDoesNotAllocate(t *testing.T) {
	s, err := NewDigestSecret(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	plain := DigestOf("some text that is no key")
	if n := testing.AllocsPerRun(100, func() { plain = s.Keyed(plain) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkKeyed(b *testing.B) {
	s, err := NewDigestSecret(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	plain := DigestOf("some text that is no key")
	b.ReportAllocs()
	for b.Loop() {
		plain = s.Keyed(plain)
	}
}
