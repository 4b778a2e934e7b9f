package keyformat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// Digest is the SHA-256 of a whole key text. Bodies have 256 random bits, so a digest
// needs neither salt nor stretching and may be stored and sent. For imported texts,
// the digest that is stored and sent is keyed; see DigestSecret.
type Digest [sha256.Size]byte

const digestScheme = "sha256:"

// ErrDigest is the error of ParseDigest.
var ErrDigest = errors.New("not of the form sha256:<64 lowercase hexadecimal digits>")

// DigestOf returns the digest of a text, well-formed or not.
func DigestOf(text string) Digest {
	var stack [maxPrefix + tailLen]byte // no allocation for any key
	return sha256.Sum256(append(stack[:0], text...))
}

// ParseDigest parses what String returns. It fails with ErrDigest.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(s, digestScheme)
	if !ok || len(digits) != 2*len(d) || digits != strings.ToLower(digits) {
		return Digest{}, ErrDigest
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return Digest{}, ErrDigest
	}
	return d, nil
}

// String returns "sha256:" and 64 hexadecimal digits.
func (d Digest) String() string { return digestScheme + hex.EncodeToString(d[:]) }
