package httpapi

import (
	"strings"
	"testing"
)

func TestIsHost(t *testing.T) {
	for _, host := range []string{"h", "cdn.acme.example", "CDN.Acme.example.", "a_b.example", "xn--bcher-kva.example",
		"127.0.0.1", "127.0.0.1:80", "h:8080", "[::1]", "[2001:db8::1]:8443", "[::ffff:1.2.3.4]"} {
		if !IsHost(host) {
			t.Errorf("%q is none", host)
		}
	}
	for _, host := range []string{
		"", ":", ":80", "h:", "h:/evil", `h:"`, `h:80\evil`, "h:é.other", "h:,other", "h:x", "h:80:80", "h:123456", "h:-1", "h/x",
		"h?x", "h#x", "u@h", "h other", "h,other", "bücher.example", "h%41", "h\x00", "h\t",
		"[::1", "::1]", "::1", "[h]", "[127.0.0.1]", "[::1%25eth0]", "[::1%eth0]", "[::1]x", "[::1]:x", "x[::1]", "[]", "[]:80",
		"*", "h;x", "h'",
	} {
		if IsHost(host) {
			t.Errorf("%q is one", host)
		}
	}
	if IsHost(strings.Repeat("a", 10) + "\u212a") {
		t.Error("a letter that folds into one of ASCII is one")
	}
}
