package sealedcontext

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	// primaryFile names the key that seals.
	primaryFile = "primary"
	// maxKeys is how many keys a directory has at most, and maxFile how many bytes a file of it.
	maxKeys, maxFile = 64, 256
)

// ReadRing reads a ring from a directory, as a mounted Secret is one: each file is a key, named by its id, with 32 bytes as they are or
// in base64. The file named primary has the id of the key that seals; without it, a single key does. Files whose names begin with
// a dot are ignored. Read the directory again from time to time, or when a value has a key that the ring lacks: a Secret that
// changes is mounted again within two minutes.
func ReadRing(directory string) (*Ring, error) {
	ring, err := readRing(directory)
	if err != nil {
		return nil, fmt.Errorf("keys of sealed contexts in %s: %w", directory, err)
	}
	return ring, nil
}

func readRing(directory string) (*Ring, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	keys, primary := map[string][]byte{}, ""
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if len(keys) > maxKeys {
			return nil, fmt.Errorf("there are more than %d", maxKeys)
		}
		content, err := readFile(filepath.Join(directory, name))
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", shown(name), err)
		case name == primaryFile:
			primary = strings.TrimSpace(string(content))
		default:
			keys[name] = decodeKey(content)
		}
	}
	if primary == "" && len(keys) == 1 {
		for id := range keys {
			primary = id
		}
	}
	return NewRing(keys, primary)
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = errors.New("it is no key: it is too long")
	}
	return content, err
}

// decodeKey returns the key in a file. If it is in neither form, it is returned as it is, and has the wrong length.
func decodeKey(content []byte) []byte {
	if len(content) == keySize {
		return content
	}
	text := strings.TrimRight(strings.TrimSpace(string(content)), "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := encoding.DecodeString(text); err == nil && len(key) == keySize {
			return key
		}
	}
	return content
}
