package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

const forURLSecrets = "keyward.dev/url-secrets/v1"

var errURLSecret = errors.New("the secret of signed URLs was encrypted with another secret of the manager, or for another version")

// newURLCipher returns the cipher of the secrets with which keys sign URLs. AES-256-GCM needs a nonce that never repeats: it is
// random, and there are far fewer than 2^32 versions.
func newURLCipher(root []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, root, nil, forURLSecrets, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of secrets of URLs: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// SealURLSecret encrypts the secret of the version with the digest, which a status has as text.
func (k *Keys) SealURLSecret(secret []byte, digest string, random io.Reader) (string, error) {
	nonce := make([]byte, k.urls.NonceSize())
	if _, err := io.ReadFull(random, nonce); err != nil {
		return "", fmt.Errorf("reading random bytes: %w", err)
	}
	return sealVersion + base64.RawURLEncoding.EncodeToString(k.urls.Seal(nonce, nonce, secret, []byte(digest))), nil
}

// OpenURLSecret returns the secret of the version with the digest. Keys that are nil, because they cannot be read, open none.
func (k *Keys) OpenURLSecret(sealed, digest string) ([]byte, error) {
	if k == nil {
		return nil, errURLSecret
	}
	encoded, ok := strings.CutPrefix(sealed, sealVersion)
	data, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if size := k.urls.NonceSize(); ok && err == nil && len(data) > size {
		if secret, err := k.urls.Open(nil, data[:size], data[size:], []byte(digest)); err == nil {
			return secret, nil
		}
	}
	return nil, errURLSecret
}
