package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"strings"
	"time"
)

// version is what sealed values begin with. A new format gets a new one.
const version = "v1"

var encoding = base64.RawURLEncoding.Strict()

// Seal returns a text as the value of a cookie, which has the version, the id of the newest secret, and the text, encrypted with AES-256-GCM and a key
// for a purpose. It is good under the full name of that cookie alone.
func (r *Ring) Seal(now time.Time, purpose, name string, text []byte) (string, error) {
	id, key := r.Newest(now, purpose)
	aead, err := newAEAD(key)
	if err != nil {
		return "", err
	}
	return version + "." + id + "." + encoding.EncodeToString(aead.Seal(nil, nil, text, additional(name, id))), nil
}

// Open returns the text of a value that Seal returned, and whether the newest secret sealed it. It is not ok if the value is something else.
func (r *Ring) Open(now time.Time, purpose, name, value string) (text []byte, newest, ok bool) {
	parts := strings.Split(value, ".")
	if len(parts) != 3 || parts[0] != version {
		return nil, false, false
	}
	id := parts[1]
	key, known := r.Key(id, purpose)
	raw, err := encoding.DecodeString(parts[2])
	if !known || err != nil {
		return nil, false, false
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, false, false
	}
	if text, err = aead.Open(nil, nil, raw, additional(name, id)); err != nil {
		return nil, false, false
	}
	current, _ := r.Newest(now, purpose)
	return text, id == current, true
}

// additional is authenticated with the text, so that it is good as no other cookie and in no other version.
func additional(name, id string) []byte { return []byte(name + "\x00" + version + "\x00" + id) }

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
