// Package keyring has the secrets that the cookies of the console are protected with. They come from a Secret that is mounted as a folder, so that
// they can be rotated while people are signed in, and so that all replicas of the console have the same.
package keyring

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Bytes is the length of a secret, and of each key that is derived from one.
const Bytes = 32

// Most is how many secrets a ring may have. What opens a cookie may try all of them.
const Most = 16

// Layout is how the id of a secret, which is the name of its file, says from when the secret is used to protect. A time that is some minutes ahead
// lets all replicas read a secret before one of them uses it.
const Layout = "20060102T150405Z"

// Ring is safe for concurrent use. It prints no secret.
type Ring struct {
	folder  string                   // empty: the secrets are not from files
	secrets atomic.Pointer[[]secret] // by time, at least one
}

type secret struct {
	id   string
	from time.Time
	root []byte
}

// Read returns the secrets in the files of a folder. It is an error if there is none, if there are more than Most, or if a file has not Bytes bytes
// or a name that is not of the Layout. Names that begin with a dot are ignored: mounted Secrets have such.
func Read(folder string) (*Ring, error) {
	r := &Ring{folder: folder}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Random returns a ring with one new secret, for a console whose cookies end with its process.
func Random(now time.Time) *Ring {
	root := make([]byte, Bytes)
	_, _ = rand.Read(root) // never fails
	r := &Ring{}
	r.secrets.Store(&[]secret{{id: now.UTC().Format(Layout), from: now, root: root}})
	return r
}

// Reload reads the folder again. After an error, the ring has the secrets that it had.
func (r *Ring) Reload() error {
	if r.folder == "" {
		return nil
	}
	files, err := os.ReadDir(r.folder)
	if err != nil {
		return fmt.Errorf("reading the secrets of cookies: %w", err)
	}
	var secrets []secret
	for _, file := range files {
		if strings.HasPrefix(file.Name(), ".") {
			continue
		}
		if len(secrets) == Most {
			return fmt.Errorf("there are more than %d secrets of cookies", Most)
		}
		one, err := read(r.folder, file.Name())
		if err != nil {
			return fmt.Errorf("the secret of cookies %q: %w", file.Name(), err)
		}
		secrets = append(secrets, one)
	}
	if len(secrets) == 0 {
		return errors.New("there is no secret of cookies")
	}
	slices.SortFunc(secrets, func(a, b secret) int { return a.from.Compare(b.from) })
	r.secrets.Store(&secrets)
	return nil
}

func read(folder, name string) (secret, error) {
	from, err := time.Parse(Layout, name)
	if err != nil || from.Format(Layout) != name {
		return secret{}, fmt.Errorf("the name is no time like %s", Layout)
	}
	root, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return secret{}, err
	}
	if len(root) != Bytes {
		return secret{}, fmt.Errorf("it has %d bytes, not %d", len(root), Bytes)
	}
	return secret{name, from, root}, nil
}

// Newest returns the id of the newest secret whose time has come, and the key that is derived from it for a purpose. If no time has come, it is the
// earliest secret.
func (r *Ring) Newest(now time.Time, purpose string) (id string, key []byte) {
	secrets := *r.secrets.Load()
	newest := secrets[0]
	for _, s := range secrets[1:] {
		if !s.from.After(now) {
			newest = s
		}
	}
	return newest.id, newest.derive(purpose)
}

// Key returns the key for a purpose of the secret with an id, or false if the ring has no such secret.
func (r *Ring) Key(id, purpose string) ([]byte, bool) {
	for _, s := range *r.secrets.Load() {
		if s.id == id {
			return s.derive(purpose), true
		}
	}
	return nil, false
}

// All returns the keys of all secrets for a purpose.
func (r *Ring) All(purpose string) [][]byte {
	secrets := *r.secrets.Load()
	keys := make([][]byte, len(secrets))
	for i, s := range secrets {
		keys[i] = s.derive(purpose)
	}
	return keys
}

func (s secret) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, s.root, nil, purpose, Bytes)
	if err != nil {
		panic(err) // of a length that HKDF cannot give, which Bytes is not
	}
	return key
}
