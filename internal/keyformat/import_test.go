package keyformat_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

func TestImport(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		want    error
		preview string
	}{
		"of another platform":         {text: "sk-live/Zm9vYmFyYmF6cXV4.42=", preview: keyformat.ForeignPreview},
		"a UUID":                      {text: "0b5f8a1c-7d3e-4f6a-9b2c-8e1d5a7f3c90", preview: keyformat.ForeignPreview},
		"with a line end":             {text: "0123456789abcdefghij\r\n", preview: keyformat.ForeignPreview},
		"the shortest":                {text: "0123456789abcdefghij", preview: keyformat.ForeignPreview},
		"one character less":          {text: "0123456789abcdefghi", want: keyformat.ErrImportLength},
		"too long":                    {text: strings.Repeat("0123456789", 52), want: keyformat.ErrImportLength},
		"a line end in the middle":    {text: "0123456789\nabcdefghij", want: keyformat.ErrImportChars},
		"with a space":                {text: "0123456789 abcdefghij", want: keyformat.ErrImportChars},
		"not ASCII":                   {text: "0123456789abcdefghijé", want: keyformat.ErrImportChars},
		"one character over and over": {text: strings.Repeat("a", 40), want: keyformat.ErrImportVariety},
		"seven characters":            {text: strings.Repeat("abcdefg", 5), want: keyformat.ErrImportVariety},
		"nothing":                     {want: keyformat.ErrImportLength},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := keyformat.Import(test.text)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if key.Preview() != test.preview || strings.Contains(fmt.Sprint(key, err), "0123456789") {
				t.Errorf("shown as %v, %v", key, err)
			}
			if err == nil && (!keyformat.Importable(key.Reveal()) || key.Reveal() != strings.TrimRight(test.text, "\r\n")) {
				t.Errorf("imported %q", key.Reveal())
			}
		})
	}
}
