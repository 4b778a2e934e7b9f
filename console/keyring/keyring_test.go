package keyring_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/console/keyring"
)

const (
	first  = "20261101T000000Z"
	second = "20261127T120000Z"
)

func write(t *testing.T, folder, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(keyring.Layout, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestNewestSealsAllOpen(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write(t, folder, first, strings.Repeat("1", keyring.Bytes))
	ring, err := keyring.Read(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{at(t, first).Add(-time.Hour), at(t, second)} {
		if id, _ := ring.Newest(now, "a"); id != first {
			t.Errorf("of one secret, %s protects at %s", id, now)
		}
	}
	write(t, folder, second, strings.Repeat("2", keyring.Bytes))
	if err := os.Symlink(folder, filepath.Join(folder, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if id, _ := ring.Newest(at(t, second).Add(-time.Second), "a"); id != first {
		t.Errorf("%s protects before its time", id)
	}
	id, newest := ring.Newest(at(t, second), "a")
	if id != second {
		t.Errorf("%s protects after the time of the second", id)
	}
	same, ok := ring.Key(second, "a")
	other, _ := ring.Key(second, "b")
	older, _ := ring.Key(first, "a")
	if !ok || !bytes.Equal(newest, same) || bytes.Equal(same, other) || bytes.Equal(same, older) || len(same) != keyring.Bytes {
		t.Error("a key is not of its secret and purpose alone")
	}
	if all := ring.All("a"); len(all) != 2 || !bytes.Equal(all[0], older) || !bytes.Equal(all[1], newest) {
		t.Errorf("All has %d keys, or others", len(all))
	}
	if _, ok := ring.Key("20250101T000000Z", "a"); ok {
		t.Error("there is a key that is not in the ring")
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	good := strings.Repeat("1", keyring.Bytes)
	for name, files := range map[string]map[string]string{
		"nothing":   {},
		"hidden":    {"..data": good},
		"no time":   {"current": good},
		"no date":   {"20261331T000000Z": good},
		"too short": {first: good[1:]},
		"a newline": {first: good + "\n"},
	} {
		folder := t.TempDir()
		for file, content := range files {
			write(t, folder, file, content)
		}
		if _, err := keyring.Read(folder); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), good[1:]) {
			t.Errorf("%s: the error has the secret: %v", name, err)
		}
	}
	folder := t.TempDir()
	for i := range keyring.Most + 1 {
		write(t, folder, fmt.Sprintf("202611%02dT000000Z", i+1), good)
	}
	if _, err := keyring.Read(folder); err == nil {
		t.Error("too many: no error")
	}
	if _, err := keyring.Read(filepath.Join(folder, "absent")); err == nil {
		t.Error("absent: no error")
	}
}

func TestAFaultyFolderChangesNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write(t, folder, first, strings.Repeat("1", keyring.Bytes))
	ring, err := keyring.Read(folder)
	if err != nil {
		t.Fatal(err)
	}
	_, before := ring.Newest(at(t, second), "a")
	write(t, folder, second, "short")
	if ring.Reload() == nil {
		t.Error("a short secret is no error")
	}
	if id, after := ring.Newest(at(t, second), "a"); id != first || !bytes.Equal(before, after) {
		t.Error("a faulty folder changed the ring")
	}
}

func TestRandom(t *testing.T) {
	t.Parallel()
	now := at(t, first)
	one, two := keyring.Random(now), keyring.Random(now)
	id, a := one.Newest(now, "a")
	_, b := two.Newest(now, "a")
	if id != first || bytes.Equal(a, b) {
		t.Errorf("two random rings are equal, or the id is %s", id)
	}
	if err := one.Reload(); err != nil {
		t.Errorf("Reload of a ring without a folder: %v", err)
	}
}
