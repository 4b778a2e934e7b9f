package decision

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestOnlyItsClients draws keys and requests: what is allowed comes from a client that the key is for.
func TestOnlyItsClients(t *testing.T) {
	snapshot, match := acme(t)
	prefixes := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	text := func(values ...string) *rapid.Generator[string] { return rapid.SampledFrom(append(values, "")) }
	rapid.Check(t, func(t *rapid.T) {
		m, group := *match, *match.Group
		group.RequireAddresses = rapid.Bool().Draw(t, "required")
		group.SharedCaching = rapid.Bool().Draw(t, "shared caching")
		m.Group = &group
		scope := *match.Key.Scope
		scope.Clients = rapid.SampledFrom([]Clients{AnyClient, BrowserOnly, ServerOnly, 9}).Draw(t, "clients")
		scope.Addresses = prefixes[:rapid.IntRange(0, len(prefixes)).Draw(t, "addresses")]
		m.Key.Scope = &scope
		snapshot.matches[digest] = m
		request := &Request{Credential: Credential{WellFormed, digest}, Method: "GET", Path: "/api/scenes/mkt-1",
			Origin: text("https://www.acme.com").Draw(t, "origin"), Referer: text("https://www.acme.com/").Draw(t, "referer"),
			FetchSite: text("none", "cross-site").Draw(t, "site")}
		if address := text("192.0.2.9", "192.0.3.9", "2001:db8::1", "2001:db9::1").Draw(t, "address"); address != "" {
			request.Address = netip.MustParseAddr(address)
		}
		contained := slices.ContainsFunc(scope.Addresses, func(p netip.Prefix) bool { return p.Contains(request.Address) })
		page := request.Origin != "" || request.Referer != ""
		want := Allowed
		switch {
		case len(scope.Addresses) == 0 && group.RequireAddresses:
			want = AddressDenied
		case len(scope.Addresses) > 0 && !request.Address.IsValid():
			want = AddressUnknown
		case len(scope.Addresses) > 0 && !contained:
			want = AddressDenied
		case scope.Clients == BrowserOnly && !page, scope.Clients >= ServerOnly && (page || request.FetchSite != ""):
			want = ClientDenied
		}
		got := Decide(snapshot, request, now)
		if got.Code != want {
			t.Fatalf("%v, want %v", got.Code, want)
		}
		if shared := group.SharedCaching && len(scope.Addresses) == 0 && scope.Clients == AnyClient; got.Shareable() != shared {
			t.Fatal("a response that depends on the client may be shared, or one that does not may not")
		}
	})
}

// TestAddressesDoNotAllocate: a key with as many prefixes as it may have.
func TestAddressesDoNotAllocate(t *testing.T) {
	snapshot, match := acme(t)
	scope := *match.Key.Scope
	scope.Addresses = append(slices.Repeat([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, 63), netip.MustParsePrefix("2001:db8::/32"))
	match.Key.Scope = &scope
	snapshot.matches[digest] = *match
	request := &Request{Credential: Credential{WellFormed, digest}, Method: "GET", Path: "/api/scenes/mkt-1",
		Address: netip.MustParseAddr("2001:db8::1")}
	if n := testing.AllocsPerRun(100, func() {
		if !Decide(snapshot, request, now).Allowed() {
			t.Fatal("denied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
