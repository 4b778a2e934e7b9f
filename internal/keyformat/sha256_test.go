package keyformat

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestReadSHA256(t *testing.T) {
	want := DigestOf("legacy-platform/0123456789")
	digits := hex.EncodeToString(want[:])
	forms := []string{
		digits, strings.ToUpper(digits), want.String(), base64.StdEncoding.EncodeToString(want[:]), base64.RawStdEncoding.EncodeToString(want[:]),
		base64.URLEncoding.EncodeToString(want[:]), base64.RawURLEncoding.EncodeToString(want[:]),
	}
	for _, form := range forms {
		if got, err := ReadSHA256(form); err != nil || got != want {
			t.Errorf("%s: %v, %v", form, got, err)
		}
	}
	base := base64.RawStdEncoding.EncodeToString(want[:])
	refused := []string{
		"", digits[:63], digits + "0", "md5:" + digits, strings.Replace(digits, digits[:1], "g", 1), base[:42], base + "==", base + "A",
		base[:42] + "B", base[:20] + "\n" + base[20:], base[:42] + "*", "sha256:" + base, strings.Repeat("A", 1000),
	}
	for _, form := range refused {
		if got, err := ReadSHA256(form); !errors.Is(err, ErrSHA256) {
			t.Errorf("%q is read as %v, %v", form, got, err)
		}
	}
}

func FuzzReadSHA256(f *testing.F) {
	d := DigestOf("x")
	f.Add(d.String())
	f.Add(base64.StdEncoding.EncodeToString(d[:]))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadSHA256(text)
		if err != nil {
			return
		}
		again, err := ReadSHA256(got.String())
		if err != nil || again != got {
			t.Errorf("%q is %v, and that is %v, %v", text, got, again, err)
		}
		if len(text) < 43 || len(text) > 71 {
			t.Errorf("%q is longer or shorter than the schema admits", text)
		}
	})
}
