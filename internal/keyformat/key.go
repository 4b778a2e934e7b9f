package keyformat

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Key is a key in the clear. Whatever prints, logs or encodes one shows its
// preview; only Reveal gives the text. The text is held in a closure because package fmt
// prints unexported fields of other structs by reflection, without asking methods.
type Key struct {
	reveal func() string
}

func newKey(text string) Key { return Key{reveal: func() string { return text }} }

// Reveal returns the key text. Every call of it deserves a reviewer's eye.
func (k Key) Reveal() string {
	if k.IsZero() {
		return ""
	}
	return k.reveal()
}

// IsZero tells whether k holds no key.
func (k Key) IsZero() bool { return k.reveal == nil }

// Prefix returns what precedes the '_', or "" of a key that was imported and is of another
// form.
func (k Key) Prefix() string {
	if !WellFormed(k.Reveal()) {
		return ""
	}
	prefix, _, _ := strings.Cut(k.Reveal(), string(separator))
	return prefix
}

// IsForeign reports whether k is a key that is not of Keyward's own form: one that was imported.
func (k Key) IsForeign() bool { return !k.IsZero() && !WellFormed(k.Reveal()) }

// Digest returns the plain digest of the key. Of one that IsForeign it is not to be shown to
// anybody, see DigestSecret.
func (k Key) Digest() Digest { return DigestOf(k.Reveal()) }

// ForeignPreview is the preview of every key that IsForeign. Nothing of such a text may be shown,
// because it may have few secret characters.
const ForeignPreview = "imported"

// IsForeignPreview reports whether a preview is that of a key that IsForeign. Earlier releases
// showed "…" and the last four characters.
func IsForeignPreview(preview string) bool {
	return preview == ForeignPreview || strings.HasPrefix(preview, "…")
}

// Preview shows enough of the key for its holder to recognize it, such as "vctrl_…aB7Q".
// The characters shown belong to the checksum. Of a key that IsForeign it shows none.
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

// Format writes the preview, whatever the verb.
func (k Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, k.Preview()) }

// LogValue returns the preview.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.Preview()) }

// MarshalText returns the preview.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.Preview()), nil }

// MarshalJSON returns the preview.
func (k Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.Preview()) }
