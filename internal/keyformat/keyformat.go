package keyformat

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"regexp"
	"strings"
)

// PrefixPattern is the regular expression of a valid prefix, for schemas and messages.
const PrefixPattern = `^[a-z][a-z0-9]{1,15}$`

const (
	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	minPrefix    = 2
	maxPrefix    = 16
	secretBytes  = 32
	bodyLen      = 43
	checksumLen  = 6
	separator    = '_'
	tailLen      = 1 + bodyLen + checksumLen // all that follows the prefix
	previewChars = 4

	// maxBody is 2^256-1. The alphabet is in ASCII order and all bodies have the same length, so
	// they compare like the numbers that they represent.
	maxBody = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1"
)

// The reasons why a text is not a key. Neither these errors nor the errors that wrap them
// contain the text.
var (
	ErrShape    = errors.New("not of the form <prefix>_<49 base62 characters>")
	ErrRange    = errors.New("the body represents more than 32 bytes")
	ErrChecksum = errors.New("the checksum does not match: the key is mistyped or cut off")
	ErrPrefix   = errors.New("the prefix must match " + PrefixPattern)
)

var prefixPattern = regexp.MustCompile(PrefixPattern)

// Mint creates a key from 32 bytes of random, which must be a cryptographic source
// (crypto/rand.Reader). It fails with ErrPrefix, or with the error of the source.
func Mint(prefix string, random io.Reader) (Key, error) {
	if !prefixPattern.MatchString(prefix) {
		return Key{}, ErrPrefix
	}
	var secret [secretBytes]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return Key{}, fmt.Errorf("read random bytes: %w", err)
	}
	var text strings.Builder
	text.Grow(len(prefix) + tailLen)
	text.WriteString(prefix)
	text.WriteByte(separator)
	body := encodeBody(secret)
	text.Write(body[:])
	sum := checksum(text.String())
	text.Write(sum[:])
	return newKey(text.String()), nil
}

// Parse parses a key text; it accepts exactly what Mint can produce. It fails with
// ErrShape, ErrRange or ErrChecksum.
func Parse(text string) (Key, error) {
	if err := check(text); err != nil {
		return Key{}, err
	}
	return newKey(strings.Clone(text)), nil
}

// WellFormed reports whether Parse accepts the text. It does not allocate.
func WellFormed(text string) bool { return check(text) == nil }

func check(text string) error {
	split := len(text) - tailLen
	if split < minPrefix || split > maxPrefix || text[split] != separator {
		return ErrShape
	}
	if !isPrefix(text[:split]) || !isBase62(text[split+1:]) {
		return ErrShape
	}
	unsummed := len(text) - checksumLen
	if text[split+1:unsummed] > maxBody {
		return ErrRange
	}
	if sum := checksum(text[:unsummed]); string(sum[:]) != text[unsummed:] {
		return ErrChecksum
	}
	return nil
}

// isPrefix is PrefixPattern without the cost of a regular expression; its caller has
// checked the length.
func isPrefix(s string) bool {
	if s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isBase62(s string) bool {
	for i := range len(s) {
		if !inAlphabet[s[i]] {
			return false
		}
	}
	return true
}

var inAlphabet = func() (in [256]bool) {
	for _, c := range []byte(alphabet) {
		in[c] = true
	}
	return in
}()

// encodeBody writes the bytes, as one big-endian number, in base62 with leading zeros.
func encodeBody(secret [secretBytes]byte) [bodyLen]byte {
	var limbs [secretBytes / 8]uint64
	for i, b := range secret {
		limbs[i/8] = limbs[i/8]<<8 | uint64(b)
	}
	var out [bodyLen]byte
	for at := bodyLen - 1; at >= 0; at-- {
		var remainder uint64
		for i := range limbs {
			limbs[i], remainder = bits.Div64(remainder, limbs[i], uint64(len(alphabet)))
		}
		out[at] = alphabet[remainder]
	}
	return out
}

// checksum returns the CRC-32 (IEEE) of s in base62. The loop over the table avoids the copy
// on the heap that crc32.ChecksumIEEE would require for a string.
func checksum(s string) [checksumLen]byte {
	crc := ^uint32(0)
	for i := range len(s) {
		crc = crc32.IEEETable[byte(crc)^s[i]] ^ crc>>8
	}
	rest := ^crc
	var out [checksumLen]byte
	for at := checksumLen - 1; at >= 0; at-- {
		out[at] = alphabet[rest%uint32(len(alphabet))]
		rest /= uint32(len(alphabet))
	}
	return out
}

// TailLen is how many characters follow the '_' of a key: base62 digits.
const TailLen = tailLen - 1
