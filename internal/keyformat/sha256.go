package keyformat

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// ErrSHA256 is the error of ReadSHA256.
var ErrSHA256 = errors.New("not a SHA-256: write 64 hexadecimal digits, or 43 characters of base64")

// ReadSHA256 reads the SHA-256 of a key text in one of the forms in which other platforms store it: hexadecimal digits in upper
// or lower case, with or without "sha256:" in front, or base64 of either alphabet, with or without padding. It fails with
// ErrSHA256.
func ReadSHA256(text string) (Digest, error) {
	var d Digest
	if digits := strings.TrimPrefix(text, digestScheme); len(digits) == 2*len(d) {
		if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
			return Digest{}, ErrSHA256
		}
		return d, nil
	}
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimSuffix(text, "="))
	// Strict: another last character would be another spelling of the same digest.
	decoded, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(decoded) != len(d) || strings.ContainsAny(text, "\r\n") {
		return Digest{}, ErrSHA256
	}
	copy(d[:], decoded)
	return d, nil
}
