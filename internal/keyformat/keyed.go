package keyformat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// A text of Keyward's own form has 256 random bits: its plain digest discloses nothing. A text that
// was imported may have few, and who reads its plain digest could find the text by trying. Therefore the
// digest of such texts is keyed: it is an HMAC-SHA-256 of the plain digest, with a secret that only the
// manager and its validation servers know.

// keyedScheme is followed by the id of the secret, ':' and the digest.
const keyedScheme = "hmac-sha256:"

const (
	digestSecretBytes = 32
	digestSecretID    = 8 // hexadecimal digits
	hmacBlock         = 64
)

// ErrDigestSecret is the error of NewDigestSecret.
var ErrDigestSecret = errors.New("the secret for digests must have 32 bytes")

// DigestSecret keys the digests of texts that are not WellFormed.
type DigestSecret struct {
	secret       [digestSecretBytes]byte
	inner, outer [hmacBlock]byte // the first blocks of the two hashes of an HMAC
	id           string
}

// NewDigestSecret returns the one with these 32 random bytes. It fails with ErrDigestSecret.
func NewDigestSecret(secret []byte) (*DigestSecret, error) {
	if len(secret) != digestSecretBytes {
		return nil, ErrDigestSecret
	}
	s := &DigestSecret{}
	copy(s.secret[:], secret)
	for i := range hmacBlock {
		b := byte(0)
		if i < len(secret) {
			b = secret[i]
		}
		s.inner[i], s.outer[i] = b^0x36, b^0x5c
	}
	sum := sha256.Sum256(append([]byte("keyward.dev/digest-secret-id:"), secret...))
	s.id = hex.EncodeToString(sum[:digestSecretID/2])
	return s, nil
}

// Bytes returns the secret itself.
func (s *DigestSecret) Bytes() []byte { return s.secret[:] }

// ID identifies the secret, and discloses nothing about it.
func (s *DigestSecret) ID() string { return s.id }

// Keyed returns the keyed digest that belongs to a plain one. It does not allocate: servers call
// this for every text that does not have the form of a key.
func (s *DigestSecret) Keyed(plain Digest) Digest {
	var block [hmacBlock + sha256.Size]byte
	copy(block[:], s.inner[:])
	copy(block[hmacBlock:], plain[:])
	inner := sha256.Sum256(block[:])
	copy(block[:], s.outer[:])
	copy(block[hmacBlock:], inner[:])
	return sha256.Sum256(block[:])
}

// Of returns the digest that identifies the key, as an ApiKey's status has it: for
// a key of Keyward's own form, what Digest's String returns; for any other key, a keyed digest.
func (s *DigestSecret) Of(key Key) string {
	if key.IsForeign() {
		return s.Format(s.Keyed(key.Digest()))
	}
	return key.Digest().String()
}

// Format returns the text of a digest that was keyed with this secret.
func (s *DigestSecret) Format(keyed Digest) string {
	return keyedScheme + s.id + ":" + hex.EncodeToString(keyed[:])
}

// DigestText is a parsed digest.
type DigestText struct {
	Digest Digest
	// SecretID is the ID of the secret that the digest is keyed with; empty where it is plain.
	SecretID string
}

// ReadDigest parses what DigestSecret.Of and Digest.String return. It fails with ErrDigest.
func ReadDigest(text string) (DigestText, error) {
	rest, keyed := strings.CutPrefix(text, keyedScheme)
	if !keyed {
		plain, err := ParseDigest(text)
		return DigestText{Digest: plain}, err
	}
	id, digits, _ := strings.Cut(rest, ":")
	if len(id) != digestSecretID || !isLowerHex(id) {
		return DigestText{}, ErrDigest
	}
	digest, err := ParseDigest(digestScheme + digits)
	return DigestText{Digest: digest, SecretID: id}, err
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
