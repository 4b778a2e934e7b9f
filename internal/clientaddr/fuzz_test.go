package clientaddr

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// FuzzLists has a client write anything in front of what a trusted proxy has added: only what the proxy added counts.
// Without a proxy, nothing of it counts.
func FuzzLists(f *testing.F) {
	for _, seed := range []string{"", "198.51.100.7", "198.51.100.7, 10.0.0.2", "for=198.51.100.7;by=10.0.0.1",
		`for="[2001:db8::1]:80"`, `for="`, `for="a\`, `"`, `\`, `for=10.0.0.1,`, ";", "for=unknown;for=x", "::ffff:10.0.0.1",
		"fe80::1%,eth0", ","} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	const client, stranger, proxy = "192.0.2.1", "203.0.113.9", "10.0.0.1"
	f.Fuzz(func(t *testing.T, written string, another bool) {
		for header, added := range map[string]string{HeaderXForwardedFor: client, HeaderForwarded: "for=" + client + ";host=h"} {
			resolver := New(trusted, header)
			lines := []string{written + ", " + added}
			if another {
				lines = []string{written, added}
			}
			if got := resolver.FromConnection(netip.MustParseAddr(proxy), http.Header{header: lines}); got != netip.MustParseAddr(client) {
				t.Fatalf("%s: %q is from %v", header, lines, got)
			}
			if got := resolver.FromConnection(netip.MustParseAddr(stranger),
				http.Header{header: lines}); got != netip.MustParseAddr(stranger) {
				t.Fatalf("%s: %q of a stranger is from %v", header, lines, got)
			}
			if got := resolver.FromConnection(netip.MustParseAddr(proxy), http.Header{header: {written}}); got.IsValid() &&
				resolver.Trusts(got) {
				t.Fatalf("%s: %q is from a proxy, %v", header, written, got)
			}
			if got := Read(written); got.IsValid() && (got.Is4In6() || got.Zone() != "") {
				t.Fatalf("%q is read as %v", written, got)
			}
		}
	})
}

// FuzzForwardedElement puts any host into the header that this server sends to content servers: it must not become more
// than one element, or another address.
func FuzzForwardedElement(f *testing.F) {
	for _, host := range []string{"cdn.acme.example", `a";for=x`, `a\`, "a,for=198.51.100.7", `"`, ""} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		element := Forwarded("192.0.2.1:80", host, "https")
		if strings.ContainsAny(host, "\r\n") {
			return // no server accepts it as a host
		}
		if got := New(trusted, HeaderForwarded).FromConnection(netip.MustParseAddr("10.0.0.1"),
			http.Header{HeaderForwarded: {"for=198.51.100.7, " + element}}); got != netip.MustParseAddr("192.0.2.1") {
			t.Fatalf("%q, of the host %q, is from %v", element, host, got)
		}
	})
}
