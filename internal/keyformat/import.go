package keyformat

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of texts that Import accepts.
const (
	MinImport        = 20  // characters
	MaxImport        = 512 // characters
	minImportVariety = 8   // different characters
)

// The reasons why an existing key cannot be imported. None of these errors contains the text.
var (
	ErrImportLength  = fmt.Errorf("a key to import has %d to %d characters", MinImport, MaxImport)
	ErrImportChars   = errors.New("a key to import is printable ASCII without spaces, since it travels in an HTTP header")
	ErrImportVariety = fmt.Errorf("a key to import has at least %d different characters; this one is easily guessed", minImportVariety)
)

// Import returns a key that was created elsewhere: printable ASCII without spaces, 20 to 512
// characters of which at least 8 differ. A line end after the text, which editors and echo
// add, is not part of it. It fails with ErrImportLength, ErrImportChars or
// ErrImportVariety.
func Import(text string) (Key, error) {
	text = strings.TrimRight(text, "\r\n")
	if len(text) < MinImport || len(text) > MaxImport {
		return Key{}, ErrImportLength
	}
	if !Importable(text) {
		return Key{}, ErrImportChars
	}
	var seen [128]bool
	variety := 0
	for i := range len(text) {
		if c := text[i]; !seen[c] {
			seen[c] = true
			variety++
		}
	}
	if variety < minImportVariety {
		return Key{}, ErrImportVariety
	}
	return newKey(strings.Clone(text)), nil
}

// Importable reports whether a text that is not WellFormed may be a key that was imported. It
// does not allocate.
func Importable(text string) bool {
	if len(text) < MinImport || len(text) > MaxImport {
		return false
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
