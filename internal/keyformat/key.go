package keyformat

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Key is a key in plaintext. Everything that prints, logs or encodes a Key shows its
// preview; only Reveal returns the text. The text is in a closure because package fmt
// prints unexported fields of other structs by reflection, without calling methods.
type Key struct {
	reveal func() string
}

func newKey(text string) Key { return Key{reveal: func() string { return text }} }

// Reveal returns the key text. Reviewers should look at every call of it.
func (k Key) Reveal() string {
	if k.IsZero() {
		return ""
	}
	return k.reveal()
}

// IsZero reports whether k has no key.
func (k Key) IsZero() bool { return k.reveal == nil }

// Prefix returns what precedes the '_', or "" for a key that was imported and has another
// form.
func (k Key) Prefix() string {
	if !WellFormed(k.Reveal()) {
		return ""
	}
	prefix, _, _ := strings.Cut(k.Reveal(), string(separator))
	return prefix
}

// IsForeign reports whether k does not have Keyward's own form: such a key was imported.
func (k Key) IsForeign() bool { return !k.IsZero() && !WellFormed(k.Reveal()) }

// Digest returns the plain digest of the key. For a key that IsForeign, nobody may see it;
// see DigestSecret.
func (k Key) Digest() Digest { return DigestOf(k.Reveal()) }

// ForeignPreview is the preview of every key that IsForeign. No part of such a text may be shown,
// because it may have few secret characters.
const ForeignPreview = "imported"

// IsForeignPreview reports whether a preview belongs to a key that IsForeign. Earlier releases
// showed "…" and the last four characters.
func IsForeignPreview(preview string) bool {
	return preview == ForeignPreview || strings.HasPrefix(preview, "…")
}

// Preview returns enough of the key for its holder to recognize it, such as "vctrl_…aB7Q".
// The characters at the end belong to the checksum. For a key that IsForeign it shows none.
func (k Key) Preview() string {
	if k.IsZero() {
		return ""
	}
	prefix := k.Prefix()
	if prefix == "" {
		return ForeignPreview
	}
	text := k.Reveal()
	return prefix + string(separator) + "…" + text[len(text)-previewChars:]
}

// String returns the preview.
func (k Key) String() string { return k.Preview() }

// GoString returns the preview.
func (k Key) GoString() string { return "keyformat.Key(" + k.Preview() + ")" }

// Format writes the preview for any verb.
func (k Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, k.Preview()) }

// LogValue returns the preview.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.Preview()) }

// MarshalText returns the preview.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.Preview()), nil }

// MarshalJSON returns the preview.
func (k Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.Preview()) }
