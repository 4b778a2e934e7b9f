package addresses

import (
	"net"
	"net/netip"
	"testing"
)

// FuzzParse: what is read means the same to the reader of package net, has one canonical form, and is never all addresses.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"192.0.2.7/24", "2001:DB8::1/32", "::ffff:192.0.2.0/120", "::ffff:0:0/96", "0.0.0.0/0", "fe80::%eth0/64", "192.0.2.7/+8",
		"192.0.2.7/32", "::1/128", "128.0.0.0/1", "::/1"} {
		f.Add(text, []byte{192, 0, 2, 9})
	}
	f.Fuzz(func(t *testing.T, text string, bytes []byte) {
		prefix, err := Parse(text)
		if err != nil {
			return
		}
		if prefix.Bits() < 1 || prefix.Addr().Is4In6() || prefix != prefix.Masked() || len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128") {
			t.Fatalf("%q is read as %v", text, prefix)
		}
		if again, err := Parse(prefix.String()); err != nil || again != prefix {
			t.Fatalf("%q is %v, which is read as %v, %v", text, prefix, again, err)
		}
		_, reference, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatalf("%q is read as %v; package net says %v", text, prefix, err)
		}
		clients := []netip.Addr{prefix.Addr(), prefix.Addr().Prev()}
		if address, ok := netip.AddrFromSlice(bytes); ok {
			clients = append(clients, address.Unmap())
		}
		for _, client := range clients {
			if got := Contain([]netip.Prefix{prefix}, client); client.IsValid() && got != reference.Contains(client.AsSlice()) {
				t.Fatalf("%q, as %v: %v is in it: %t, which package net does not say", text, prefix, client, got)
			}
		}
	})
}
