package keyring_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/console/keyring"
)

const (
	first  = "20261101T000000Z"
	second = "20261201T000000Z"
)

var (
	november = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	december = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
)

func secret(fill byte) []byte { return bytes.Repeat([]byte{fill}, keyring.KeySize) }

func ring(t *testing.T, keys map[string][]byte) *keyring.Ring {
	t.Helper()
	r, err := keyring.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRotation: a replica that has a new key reads and uses the old one until the instant of the new one. What the old one has sealed is
// read until it is removed.
func TestRotation(t *testing.T) {
	t.Parallel()
	old := ring(t, map[string][]byte{first: secret(1)})
	both := ring(t, map[string][]byte{first: secret(1), second: secret(2)})
	latest := ring(t, map[string][]byte{second: secret(2)})
	before, after := both.Seal("a", []byte("x"), november), both.Seal("a", []byte("x"), december)
	for name, c := range map[string]struct {
		by   *keyring.Ring
		text string
		read bool
	}{
		"before, by a replica without the new key": {old, before, true},
		"before, by a replica with both":           {both, before, true},
		"before, when the old key is gone":         {latest, before, false},
		"after, by a replica with both":            {both, after, true},
		"after, when the old key is gone":          {latest, after, true},
	} {
		if got, err := c.by.Open("a", c.text); (err == nil && string(got) == "x") != c.read {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if signed := both.Sign("a", []byte("x"), november); !strings.Contains(signed, first) {
		t.Errorf("signed by %s", signed)
	}
	if _, err := latest.Verify("a", latest.Sign("a", nil, november)); err != nil {
		t.Errorf("the only key is not used before its instant: %v", err)
	}
}

// TestBound: what was made for one purpose, with one key, or by the other operation is nothing elsewhere.
func TestBound(t *testing.T) {
	t.Parallel()
	r := ring(t, map[string][]byte{first: secret(1), second: secret(1)})
	sealed, signed := r.Seal("a", []byte("x"), november), r.Sign("a", []byte("x"), november)
	for name, text := range map[string]string{"sealed": sealed, "signed": signed} {
		for way, read := range map[string]func(keyring.Purpose, string) ([]byte, error){"Open": r.Open, "Verify": r.Verify} {
			fits := name == "sealed" && way == "Open" || name == "signed" && way == "Verify"
			if _, err := read("a", text); (err == nil) != fits {
				t.Errorf("%s, %s: %v", way, name, err)
			}
			if _, err := read("b", text); !errors.Is(err, keyring.ErrUnreadable) {
				t.Errorf("%s of %s for another purpose: %v", way, name, err)
			}
			if _, err := read("a", strings.Replace(text, first, second, 1)); !errors.Is(err, keyring.ErrUnreadable) {
				t.Errorf("%s of %s with another key of the same bytes: %v", way, name, err)
			}
		}
	}
	if got := keyring.SealedSize(1); got != len(sealed) {
		t.Errorf("SealedSize is %d, and the text has %d", got, len(sealed))
	}
}

// TestChanged: no change of a text can be read.
func TestChanged(t *testing.T) {
	t.Parallel()
	r := ring(t, map[string][]byte{first: secret(1)})
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "data")
		sealed, signed := r.Seal("a", data, november), r.Sign("a", data, november)
		if got, err := r.Open("a", sealed); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("Open: %x, %v", got, err)
		}
		if got, err := r.Verify("a", signed); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("Verify: %x, %v", got, err)
		}
		change := func(text string) string {
			at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				return text[:at]
			case 1:
				return text[:at] + rapid.SampledFrom([]string{"\n", "=", "A", "."}).Draw(t, "more") + text[at:]
			default:
				return text[:at] + string(rapid.Byte().Draw(t, "byte")) + text[at+1:]
			}
		}
		if changed := change(sealed); changed != sealed {
			if _, err := r.Open("a", changed); err == nil {
				t.Fatalf("opened %q, which was %q", changed, sealed)
			}
		}
		if changed := change(signed); changed != signed {
			if _, err := r.Verify("a", changed); err == nil {
				t.Fatalf("verified %q, which was %q", changed, signed)
			}
		}
	})
}

func TestFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := keyring.Open(folder); err == nil || !strings.Contains(err.Error(), "there is no key") {
		t.Errorf("an empty folder: %v", err)
	}
	encoded := base64.StdEncoding.EncodeToString
	write(first, encoded(secret(1))+"\n")
	write("..data", "what kubelet has beside them")
	r, err := keyring.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	sealed := r.Seal("a", []byte("x"), november)
	for name, text := range map[string]string{
		"20261202T000000Z": encoded(secret(1)[1:]),
		"20261203T000000Z": strings.Repeat("A", 500),
		"20261204T000000Z": "secret-but-not-base64",
		"key":              encoded(secret(3)),
		"20261301T000000Z": encoded(secret(3)),
	} {
		write(name, text)
		if err := r.Reload(folder); err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.Open("a", sealed); err != nil {
			t.Errorf("after a bad file, the keys of before are gone: %v", err)
		}
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(second, encoded(secret(2)))
	if err := r.Reload(folder); err != nil {
		t.Fatal(err)
	}
	if got := r.Seal("a", nil, december); !strings.Contains(got, second) {
		t.Errorf("the new key is not used: %s", got)
	}
	for i := range keyring.MaxKeys {
		write(fmt.Sprintf("202701%02dT000000Z", i+1), encoded(secret(4)))
	}
	if err := r.Reload(folder); err == nil || !strings.Contains(err.Error(), "more than 16") {
		t.Errorf("too many keys: %v", err)
	}
}

func TestRandom(t *testing.T) {
	t.Parallel()
	sealed := keyring.Random().Seal("a", []byte("x"), november)
	if _, err := keyring.Random().Open("a", sealed); !errors.Is(err, keyring.ErrUnreadable) {
		t.Errorf("two random rings have one key: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	r, err := keyring.New(map[string][]byte{first: secret(1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Seal("a", []byte("x"), november))
	f.Add(r.Sign("a", []byte("x"), november))
	f.Add("v1." + first + ".")
	f.Add("v1..")
	f.Fuzz(func(t *testing.T, text string) {
		if data, err := r.Open("a", text); err == nil && string(data) != "x" {
			t.Errorf("opened %q", data)
		}
		if data, err := r.Verify("a", text); err == nil && string(data) != "x" {
			t.Errorf("verified %q", data)
		}
	})
}
