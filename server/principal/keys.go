package principal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxKeys  = 8
	maxFiles = 64
	maxFile  = 16 << 10 // bytes
	maxType  = 40       // characters of the type of a PEM block that an error quotes

	// data is the link that the kubelet replaces to change all files of a volume at once.
	data = "..data"

	pemPrivate = "PRIVATE KEY"
	pemBegin   = "-----BEGIN"

	create = "create a key with: openssl genpkey -algorithm ed25519 -out 2026-12-01.pem"
)

// key is a key that signs. Printing or logging it shows its id only.
type key struct {
	id     string // the thumbprint (RFC 7638)
	file   string
	public string // base64url

	header  []byte // the encoded header of what it signs, and a '.'
	private ed25519.PrivateKey
}

// Format implements fmt.Formatter.
func (k *key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, k.id) }

// LogValue implements slog.LogValuer.
func (k *key) LogValue() slog.Value { return slog.StringValue(k.id) }

func newKey(file string, private ed25519.PrivateKey) *key {
	public, _ := private.Public().(ed25519.PublicKey)
	k := &key{file: file, private: private, public: encoding.EncodeToString(public)}
	thumbprint := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + k.public + `"}`))
	k.id = encoding.EncodeToString(thumbprint[:])
	header := `{"alg":"` + algorithm + `","kid":"` + k.id + `","typ":"` + Type + `"}`
	k.header = append(encoding.AppendEncode(nil, []byte(header)), '.')
	return k
}

// encoding is that of JWS (RFC 7515, section 2).
var encoding = base64.RawURLEncoding

// read returns the keys of a file, or of the files of a directory in the order of their names. Names that begin with '.' are the
// kubelet's.
func read(path string) ([]*key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = filesIn(path); err != nil {
			return nil, err
		}
	}
	var keys []*key
	for _, file := range files {
		text, err := readFile(file)
		if err != nil {
			return nil, err
		}
		found, err := parse(filepath.Base(file), text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, found...)
	}
	return keys, check(path, keys)
}

func check(path string, keys []*key) error {
	if len(keys) == 0 {
		return fmt.Errorf("%s has no key; %s", path, create)
	}
	if len(keys) > maxKeys {
		return fmt.Errorf("%s has %d keys, and at most %d are read; remove the oldest ones", path, len(keys), maxKeys)
	}
	files := map[string]string{} // by id
	for _, k := range keys {
		if other, twice := files[k.id]; twice {
			return fmt.Errorf("%s has the same key as %s, so that nothing was rotated; %s", k.file, other, create)
		}
		files[k.id] = k.file
	}
	return nil
}

// filesIn returns the files of one version of a volume, even if the kubelet replaces it meanwhile.
func filesIn(dir string) ([]string, error) {
	if version, err := filepath.EvalSymlinks(filepath.Join(dir, data)); err == nil {
		dir = version
	}
	open, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = open.Close() }()
	entries, err := open.ReadDir(maxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > maxFiles {
		return nil, fmt.Errorf("%s has more than %d files: give keys a directory of their own", dir, maxFiles)
	}
	var files []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") && !entry.IsDir() {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

func readFile(file string) ([]byte, error) {
	open, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = open.Close() }()
	text, err := io.ReadAll(io.LimitReader(open, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes, which no key has", file, maxFile)
	}
	return text, nil
}

// parse returns the keys of a PEM file, of which it may have several. Text between them is a comment. No error has any of the
// file's text, except for the types of its blocks.
func parse(file string, text []byte) ([]*key, error) {
	var keys []*key
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != pemPrivate {
			return nil, fmt.Errorf("%s has a block of type %.*q; only those of type %q (PKCS #8) are keys: %s", file, maxType, block.Type,
				pemPrivate, create)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		private, ok := parsed.(ed25519.PrivateKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("%s has a key that is not one of Ed25519 in PKCS #8; %s", file, create)
		}
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("%s has more than %d keys; remove the oldest ones", file, maxKeys)
		}
		keys = append(keys, newKey(file, private))
	}
	if strings.Contains(string(text), pemBegin) {
		return nil, fmt.Errorf("%s has a PEM block that is not complete: copy the whole file", file)
	}
	return keys, nil
}
