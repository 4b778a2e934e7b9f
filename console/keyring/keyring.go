// Package keyring seals and signs what the console gives to browsers. It has several keys at once, so that they can be replaced while people
// are signed in: what one key has sealed can be read until the key is removed.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// KeySize is how many bytes a key has.
	KeySize = 32
	// MaxKeys is how many keys there may be at once.
	MaxKeys = 16
	// IDForm is the form of the ID of a key, in the layout of package time: the instant from which the key seals and signs.
	IDForm = "20060102T150405Z"

	format = "v1"
)

// ErrUnreadable is returned for a text that no key of the ring has made for this purpose. Why, is not said.
var ErrUnreadable = errors.New("it was not made with a key of the console, or was changed")

// Purpose separates what is sealed or signed for one thing from all other things: each has keys of its own. It is the name of a cookie.
type Purpose string

// Ring has keys. It is safe for concurrent use.
type Ring struct {
	keys atomic.Pointer[[]key] // in ascending order of their instants
}

type key struct {
	id     string
	from   time.Time
	secret [KeySize]byte
}

// New returns a ring of keys by their IDs. There must be a key, and at most MaxKeys.
func New(keys map[string][]byte) (*Ring, error) {
	r := &Ring{}
	return r, r.replace(keys)
}

// Random returns a ring with one new key, for a console that nothing outlives.
func Random() *Ring {
	secret := make([]byte, KeySize)
	_, _ = rand.Read(secret) // it never fails
	r, err := New(map[string][]byte{"19700101T000000Z": secret})
	if err != nil {
		panic(err) // the key above is valid
	}
	return r
}

func (r *Ring) replace(keys map[string][]byte) error {
	if len(keys) == 0 {
		return errors.New("there is no key; add one, of a name such as 20261127T120000Z")
	}
	if len(keys) > MaxKeys {
		return fmt.Errorf("there are %d keys, more than %d; remove the oldest", len(keys), MaxKeys)
	}
	sorted := make([]key, 0, len(keys))
	for id, secret := range keys {
		from, err := time.Parse(IDForm, id)
		if err != nil {
			return fmt.Errorf("the key %q has no valid name; name it by the instant from which it is used, such as 20261127T120000Z", id)
		}
		if len(secret) != KeySize {
			return fmt.Errorf("the key %s has %d bytes; it must have %d", id, len(secret), KeySize)
		}
		sorted = append(sorted, key{id: id, from: from, secret: [KeySize]byte(secret)})
	}
	slices.SortFunc(sorted, func(a, b key) int { return a.from.Compare(b.from) })
	r.keys.Store(&sorted)
	return nil
}

// current returns the key to seal and sign with: the latest whose instant has come. So all replicas change to a new key at one time, when all
// have it. Before the instant of the first key, it is that one.
func (r *Ring) current(now time.Time) *key {
	keys := *r.keys.Load()
	for i := len(keys) - 1; i > 0; i-- {
		if !keys[i].from.After(now) {
			return &keys[i]
		}
	}
	return &keys[0]
}

func (r *Ring) find(id string) *key {
	keys := *r.keys.Load()
	for i := range keys {
		if keys[i].id == id {
			return &keys[i]
		}
	}
	return nil
}

// derive returns the key of a purpose and a use, so that no two share one.
func (k *key) derive(use string, purpose Purpose) []byte {
	derived, err := hkdf.Key(sha256.New, k.secret[:], nil, "keyward console "+format+" "+use+" "+string(purpose), KeySize)
	if err != nil {
		panic(err) // its length is constant, and valid
	}
	return derived
}

func (k *key) aead(purpose Purpose) cipher.AEAD {
	block, err := aes.NewCipher(k.derive("seal", purpose))
	if err != nil {
		panic(err) // its length is constant, and valid
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // the block is one of AES
	}
	return aead
}

// bound is what is authenticated in addition: the format, the key, and the purpose. None of them has a zero byte.
func (k *key) bound(purpose Purpose) []byte {
	return []byte(format + "\x00" + k.id + "\x00" + string(purpose))
}

// Seal encrypts data with AES-256-GCM, as text for a cookie.
func (r *Ring) Seal(purpose Purpose, data []byte, now time.Time) string {
	k := r.current(now)
	return join(k.id, k.aead(purpose).Seal(nil, nil, data, k.bound(purpose)))
}

// Open returns what was sealed for a purpose, or ErrUnreadable.
func (r *Ring) Open(purpose Purpose, text string) ([]byte, error) {
	id, sealed, ok := split(text)
	k := r.find(id)
	if !ok || k == nil {
		return nil, ErrUnreadable
	}
	data, err := k.aead(purpose).Open(nil, nil, sealed, k.bound(purpose))
	if err != nil {
		return nil, ErrUnreadable
	}
	return data, nil
}

// SealedSize returns how long the text is in which data of that many bytes is sealed.
func SealedSize(bytes int) int {
	const nonceAndTag = 12 + 16
	return len(format) + 1 + len(IDForm) + 1 + base64.RawURLEncoding.EncodedLen(bytes+nonceAndTag)
}

func (k *key) mac(purpose Purpose, data []byte) []byte {
	mac := hmac.New(sha256.New, k.derive("sign", purpose))
	mac.Write(k.bound(purpose))
	mac.Write([]byte{0})
	mac.Write(data)
	return mac.Sum(nil)
}

// Sign returns data with its HMAC-SHA-256, as text for a cookie. Who has the text can read the data.
func (r *Ring) Sign(purpose Purpose, data []byte, now time.Time) string {
	k := r.current(now)
	return join(k.id, append(k.mac(purpose, data), data...))
}

// Verify returns the data that was signed for a purpose, or ErrUnreadable.
func (r *Ring) Verify(purpose Purpose, text string) ([]byte, error) {
	id, signed, ok := split(text)
	k := r.find(id)
	if !ok || k == nil || len(signed) < sha256.Size {
		return nil, ErrUnreadable
	}
	if data := signed[sha256.Size:]; hmac.Equal(signed[:sha256.Size], k.mac(purpose, data)) {
		return data, nil
	}
	return nil, ErrUnreadable
}

func join(id string, data []byte) string {
	return format + "." + id + "." + base64.RawURLEncoding.EncodeToString(data)
}

// strict refuses a second spelling of the same bytes.
var strict = base64.RawURLEncoding.Strict()

func split(text string) (id string, data []byte, ok bool) {
	version, rest, _ := strings.Cut(text, ".")
	id, encoded, found := strings.Cut(rest, ".")
	if version != format || !found || strings.ContainsAny(encoded, "\r\n") { // which base64 would skip
		return "", nil, false
	}
	data, err := strict.DecodeString(encoded)
	return id, data, err == nil
}
