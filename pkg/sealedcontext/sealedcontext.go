// Package sealedcontext opens the sealed context that Keyward sends to content servers: credentials of a Group, such as those of its
// payment provider, that nothing between the manager and the content server can read. It imports nothing but the standard library.
//
// A sealed value is v1.<key id>.<data>: the id of a key of the ring, and in base64url without padding 12 bytes of nonce and what
// AES-256-GCM makes of the value. The additional data is "keyward/sealed-context/v1", the group as namespace/name, and the name of
// the value in lower case, as headers have no case, with a newline after the first two.
package sealedcontext

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	// HeaderGroup is the header with the group of an allowed request, as namespace/name.
	HeaderGroup = "X-Keyward-Group"
	// HeaderPrefix precedes the name of a value in the header that has it.
	HeaderPrefix = "X-Keyward-Sealed-"

	// MaxValue is how many bytes a value has at most, before it is sealed.
	MaxValue = 1024
	// MaxSealed is how many bytes a sealed value has at most.
	MaxSealed = len(version) + 1 + maxID + 1 + (nonceSize+MaxValue+tagSize)*4/3 + 1

	version    = "v1"
	context    = "keyward/sealed-context/v1"
	nonceLabel = context + "/nonce"
	keySize    = 32
	maxID      = 64
	nonceSize  = 12
	tagSize    = 16
)

// ErrSealed is the error of every sealed value that cannot be opened: it is not one, or was not sealed for this group and name by a key of
// the ring, or was changed. The errors that wrap it have no part of a value or a key.
var ErrSealed = errors.New("sealed context cannot be opened")

var encoding = base64.RawURLEncoding.Strict()

// Ring has the keys that open values, by their ids, and names the one that seals. It does not change.
type Ring struct {
	keys    map[string]*key
	primary string
}

type key struct {
	aead cipher.AEAD
	// nonces keys the nonces.
	nonces []byte
}

// NewRing returns a ring of keys of 32 bytes by their ids. The primary key seals; for a ring that only opens it may be empty.
func NewRing(keys map[string][]byte, primary string) (*Ring, error) {
	ring := &Ring{keys: make(map[string]*key, len(keys)), primary: primary}
	if len(keys) == 0 {
		return nil, errors.New("there is no key")
	}
	for id, secret := range keys {
		if !isID(id) {
			return nil, fmt.Errorf("key %q: an id has 1 to %d letters, digits, '-' and '_'", shown(id), maxID)
		}
		if len(secret) != keySize {
			return nil, fmt.Errorf("key %q: it has %d bytes; a key has %d", id, len(secret), keySize)
		}
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", id, err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", id, err)
		}
		ring.keys[id] = &key{aead: aead, nonces: mac(secret, []byte(nonceLabel))}
	}
	if _, has := ring.keys[primary]; primary != "" && !has {
		return nil, fmt.Errorf("the primary key %q is not there", shown(primary))
	}
	return ring, nil
}

// Primary returns the id of the key that seals, or nothing if none does.
func (r *Ring) Primary() string { return r.primary }

// Seal seals a value with the primary key. The same value, for the same group and name, is always sealed to the same text: the
// nonce is a keyed hash of all of them. So nothing has to be kept to know that a value has not changed, and whoever sees two
// sealed values learns whether they are the same value, and nothing else.
func (r *Ring) Seal(group, name string, value []byte) (string, error) {
	key := r.keys[r.primary]
	switch {
	case key == nil:
		return "", errors.New("the ring has no primary key")
	case len(value) == 0 || len(value) > MaxValue:
		return "", fmt.Errorf("the value has %d bytes; 1 to %d can be sealed", len(value), MaxValue)
	}
	data := additional(group, name)
	length := binary.BigEndian.AppendUint64(nil, uint64(len(data)))
	nonce := mac(key.nonces, length, data, value)[:nonceSize]
	return version + "." + r.primary + "." + encoding.EncodeToString(key.aead.Seal(nonce, nonce, value, data)), nil
}

// Open opens a sealed value of a group, which is namespace/name. Its errors are ErrSealed.
func (r *Ring) Open(group, name, sealed string) ([]byte, error) {
	if len(sealed) > MaxSealed {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrSealed, MaxSealed)
	}
	form, rest, _ := strings.Cut(sealed, ".")
	id, text, has := strings.Cut(rest, ".")
	if form != version || !has || !isID(id) {
		return nil, fmt.Errorf("%w: it is not of the form v1.<key id>.<data>", ErrSealed)
	}
	key := r.keys[id]
	if key == nil {
		return nil, fmt.Errorf("%w: the ring has no key %q", ErrSealed, id)
	}
	// base64 of this package skips line breaks, which nobody writes.
	encoded, err := encoding.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || len(encoded) < nonceSize+tagSize {
		return nil, fmt.Errorf("%w: its data is not base64url of a sealed value", ErrSealed)
	}
	value, err := key.aead.Open(nil, encoded[:nonceSize], encoded[nonceSize:], additional(group, name))
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed, or sealed for another group or name, or with another key of the id %q", ErrSealed, id)
	}
	return value, nil
}

// OpenHeader opens the value of that name in the headers of a request. It trusts the headers, so the request must come from a
// validation server, or a gateway that asks one.
func (r *Ring) OpenHeader(header http.Header, name string) ([]byte, error) {
	groups, sealed := header.Values(HeaderGroup), header.Values(HeaderPrefix+name)
	if len(groups) != 1 || len(sealed) != 1 {
		return nil, fmt.Errorf("%w: the request has %d headers %s and %d headers %s, and should have one of each",
			ErrSealed, len(groups), HeaderGroup, len(sealed), HeaderPrefix+shown(name))
	}
	return r.Open(groups[0], name, sealed[0])
}

func additional(group, name string) []byte {
	return []byte(context + "\n" + group + "\n" + strings.ToLower(name))
}

func mac(secret []byte, parts ...[]byte) []byte {
	hash := hmac.New(sha256.New, secret)
	for _, part := range parts {
		hash.Write(part)
	}
	return hash.Sum(nil)
}

func isID(text string) bool {
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return text != "" && len(text) <= maxID
}

// shown is as much of a text as an error repeats.
func shown(text string) string {
	if len(text) > maxID {
		return text[:maxID]
	}
	return text
}
