package keyring

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is more than a key with an end of line has.
const maxFile = 128

// Open reads the keys of a folder, as a Secret is mounted: a file for each key, named by its ID, with 32 random bytes in base64. Files whose
// names begin with a dot are not keys.
func Open(folder string) (*Ring, error) {
	r := &Ring{}
	return r, r.Reload(folder)
}

// Reload reads the folder again. After an error, the ring has the keys that it had before.
func (r *Ring) Reload(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("reading the keys of the console: %w", err)
	}
	keys := map[string][]byte{}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if len(keys) == MaxKeys {
			return fmt.Errorf("%s: there are more than %d keys; remove the oldest", folder, MaxKeys)
		}
		if keys[entry.Name()], err = read(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	if err := r.replace(keys); err != nil {
		return fmt.Errorf("%s: %w", folder, err)
	}
	return nil
}

// read returns the key in a file. No error has a part of it.
func read(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator says which folder
	if err != nil {
		return nil, fmt.Errorf("reading a key of the console: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, fmt.Errorf("reading a key of the console: %w", err)
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(secret) != KeySize {
		return nil, fmt.Errorf("%s: it must have %d random bytes in base64; make them with: openssl rand -base64 %d", path, KeySize, KeySize)
	}
	return secret, nil
}
