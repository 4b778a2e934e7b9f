package httpapi

import (
	"strings"
	"testing"
)

func TestRequestID(t *testing.T) {
	for _, taken := range []string{"a", "5f0c3a52-0d1c-4b8e-9a53-6e2f3f8f7a11", "Root.1_2~3", strings.Repeat("x", 128)} {
		if got := RequestID(taken); got != taken {
			t.Errorf("%q becomes %q", taken, got)
		}
	}
	seen := map[string]bool{}
	for _, lines := range [][]string{
		nil, {""}, {" a"}, {"a b"}, {"a,b"}, {"a\x00"}, {"ä"}, {"\x80"}, {`"a"`}, {"a\r\nX-Evil: 1"}, {strings.Repeat("x",
			129)}, {"a", "a"}, {mint(t)},
	} {
		got := RequestID(lines...)
		if !IsToken(got) || len(got) < 20 || seen[got] || len(lines) > 0 && got == lines[0] {
			t.Errorf("%q becomes %q", lines, got)
		}
		seen[got] = true
	}
}
