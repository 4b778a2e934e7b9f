package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// RootBytes is the length of the manager's secret.
const RootBytes = 32

// The purposes that keys are derived for. A new format gets a new name.
const (
	forDigests = "keyward.dev/digests/v1"
	forSeals   = "keyward.dev/seals/v1"
)

// sealVersion is the prefix of every seal.
const sealVersion = "v1."

var errRoot = errors.New("it does not have 32 bytes")

// Keys are derived from the manager's secret.
type Keys struct {
	// Digests is shared with validation servers only.
	Digests *keyformat.DigestSecret

	seals []byte // never leaves the manager
	urls  cipher.AEAD
}

// NewKeys derives the keys from a secret of RootBytes random bytes.
func NewKeys(root []byte) (*Keys, error) {
	if len(root) != RootBytes {
		return nil, errRoot
	}
	seals, err := hkdf.Key(sha256.New, root, nil, forSeals, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of seals: %w", err)
	}
	digests, err := hkdf.Key(sha256.New, root, nil, forDigests, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the secret of digests: %w", err)
	}
	secret, err := keyformat.NewDigestSecret(digests)
	if err != nil {
		return nil, err
	}
	urls, err := newURLCipher(root)
	if err != nil {
		return nil, err
	}
	return &Keys{Digests: secret, seals: seals, urls: urls}, nil
}

// Identities are the digests by which a text of that plain digest may be known: the plain one, and the keyed one, if its form is not that of
// minted keys or was not known when it was imported.
func (k *Keys) Identities(plain keyformat.Digest) [2]keyformat.Digest {
	return [2]keyformat.Digest{plain, k.Digests.Keyed(plain)}
}

// newRoot returns a secret of random bytes.
func newRoot(random io.Reader) ([]byte, error) {
	root := make([]byte, RootBytes)
	if _, err := io.ReadFull(random, root); err != nil {
		return nil, fmt.Errorf("reading random bytes: %w", err)
	}
	return root, nil
}

// Sealed is what a seal protects: everything that is trusted in a Secret whose ApiKey has no status. The texts are as they
// stand in the annotations of the Secret.
type Sealed struct {
	Namespace, ApiKey, Text      string
	Version, MintedAt, ExpiresAt string
}

// Seal returns the seal.
func (k *Keys) Seal(of Sealed) string {
	return sealVersion + base64.RawURLEncoding.EncodeToString(k.sum(of))
}

// Verify reports whether the seal is valid.
func (k *Keys) Verify(of Sealed, seal string) bool {
	encoded, ok := strings.CutPrefix(seal, sealVersion)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(sha256.Size) {
		return false
	}
	given, err := base64.RawURLEncoding.DecodeString(encoded)
	return err == nil && hmac.Equal(given, k.sum(of))
}

// sum hashes each part with its length before it, so that different parts never give the same input.
func (k *Keys) sum(of Sealed) []byte {
	mac := hmac.New(sha256.New, k.seals)
	digest := keyformat.DigestOf(of.Text)
	for _, part := range []string{of.Namespace, of.ApiKey, string(digest[:]), of.Version, of.MintedAt, of.ExpiresAt} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		_, _ = io.WriteString(mac, part) // a hash never fails
	}
	return mac.Sum(nil)
}
