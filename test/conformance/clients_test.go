package conformance

import (
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

// addRestricted adds keys that are accepted from certain clients only.
func addRestricted(add func(name, group string, projects, permissions []string) *syncv1.Key) {
	const acme, required = "tenants/acme", "tenants/located"
	marketing, read := []string{"marketing"}, []string{"read"}
	office := []string{"198.51.100.0/25", "203.0.113.7/32", "2001:db8:1::/48"}
	add("office", acme, marketing, read).Addresses = office
	add("v6 only", acme, marketing, read).Addresses = []string{"2001:db8:1::/48"}
	add("located", required, []string{"default"}, read).Addresses = office
	add("anywhere", required, []string{"default"}, read)
	add("page", acme, marketing, read).Clients = syncv1.Clients_CLIENTS_BROWSER
	add("server", acme, marketing, read).Clients = syncv1.Clients_CLIENTS_SERVER
	ended := add("office, revoked", acme, marketing, read)
	ended.Addresses, ended.Versions[0].Revoked = office, true
}

// clientTable comes between the checks of the Group's state and of origins.
var clientTable = []testCase{
	{name: "address: one of the key's", guards: "a key that its own network cannot use", headers: bearer("office"),
		client: "198.51.100.1", key: "office", owner: "marketing"},
	{name: "address: a single one", guards: "a prefix of the whole length that nothing matches", headers: bearer("office"),
		client: "203.0.113.7", key: "office", owner: "marketing"},
	{name: "address: the last of a prefix", guards: "a prefix that ends too early", headers: bearer("office"),
		client: "198.51.100.127", key: "office", owner: "marketing"},
	{name: "address: with a port", guards: "a port that makes an address another one", headers: bearer("office"),
		client: "198.51.100.1:4711", key: "office", owner: "marketing"},
	{name: "address: IPv6", guards: "IPv6 forgotten", headers: bearer("office"), client: "2001:db8:1:2::3", key: "office",
		owner: "marketing"},
	{name: "address: IPv4-mapped", guards: "one address in two forms, of which one is not recognized", headers: bearer("office"),
		client: "::ffff:198.51.100.1", key: "office", owner: "marketing"},
	{name: "address: another", guards: "a stolen key used from elsewhere", headers: bearer("office"), client: "198.51.101.1",
		want: decision.AddressDenied},
	{name: "address: one after the prefix", guards: "a prefix that ends too late", headers: bearer("office"),
		client: "198.51.100.128", want: decision.AddressDenied},
	{name: "address: beside a single one", guards: "a single address taken for its network", headers: bearer("office"),
		client: "203.0.113.8", want: decision.AddressDenied},
	{name: "address: another of IPv6", guards: "IPv6 that nobody compares", headers: bearer("office"), client: "2001:db8:2::1",
		want: decision.AddressDenied},
	{name: "address: IPv4 of a key for IPv6", guards: "families mixed up", headers: bearer("v6 only"), client: "198.51.100.1",
		want: decision.AddressDenied},
	{name: "address: another, IPv4-mapped", guards: "addresses that are not compared in their mapped form",
		headers: bearer("office"), client: "::ffff:198.51.101.1", want: decision.AddressDenied},
	{name: "address: forged in front", guards: "an address of the network that the client has made up",
		headers: with("office", "X-Forwarded-For: 198.51.100.1"), client: "198.51.101.1", want: decision.AddressDenied},
	{name: "address: forged in other headers", guards: "addresses in headers that nobody is configured to read",
		headers: with("office", "Forwarded: for=198.51.100.1", "X-Client-Ip: 198.51.100.1", "True-Client-Ip: 198.51.100.1"),
		client:  "198.51.101.1", want: decision.AddressDenied},
	{name: "address: not known", guards: "an address that is not known taken for any", headers: bearer("office"),
		want: decision.AddressUnknown},
	{name: "address: comes before the project", guards: "a thief probing which projects there are", request: "- - /none",
		headers: bearer("office"), client: "198.51.101.1", want: decision.AddressDenied},
	{name: "address: comes after the state", guards: "an ended key that is refused for another reason",
		headers: bearer("office, revoked"), client: "198.51.101.1", want: decision.KeyRevoked},
	{name: "address: readable", guards: "pages that cannot read why", headers: with("office", "Origin: "+acmePage),
		client: "198.51.101.1", readable: acmePage, want: decision.AddressDenied},
	{name: "address: failures", guards: "probing from where a found key works without end", headers: bearer("office"),
		client: failingIPv4, world: worldFailed, want: decision.TooManyFailures},
	{name: "address: required, and declared", guards: "a Group that requires addresses and accepts nobody",
		headers: bearer("located"), client: "203.0.113.7", key: "located", owner: "default"},
	{name: "address: required, and another", guards: "a requirement that replaces the list", headers: bearer("located"),
		client: "203.0.113.8", want: decision.AddressDenied},
	{name: "address: required, and not declared", guards: "a key without addresses where the Group requires them",
		headers: bearer("anywhere"), client: "203.0.113.7", want: decision.AddressDenied},
	{name: "address: required, not declared, not known", guards: "a requirement that waits for an address",
		headers: bearer("anywhere"), want: decision.AddressDenied},

	{name: "clients: a page", guards: "a key for browsers that browsers cannot use", headers: with("page", "Origin: "+acmePage),
		readable: acmePage, key: "page", owner: "marketing"},
	{name: "clients: a page by its Referer", guards: "images and frames, for which browsers send no Origin",
		headers: with("page", "Referer: "+acmePage+"/x"), key: "page", owner: "marketing"},
	{name: "clients: no page", guards: "a key of a page used by a script without more ado", headers: bearer("page"),
		want: decision.ClientDenied},
	{name: "clients: no page, but Sec-Fetch-Site", guards: "a header taken for an origin that it does not name",
		headers: with("page", "Sec-Fetch-Site: same-site"), want: decision.ClientDenied},
	{name: "clients: a page of the content's own host", guards: "pages whose requests have neither Origin nor Referer",
		request: "- www.acme.example -", headers: with("page", "Sec-Fetch-Site: same-origin"), key: "page", owner: "marketing"},
	{name: "clients: a page of a host that is not allowed", guards: "a host that no allowlist has taken for a page's",
		request: "- evil.example -", headers: with("page", "Sec-Fetch-Site: same-origin"), want: decision.ClientDenied},
	{name: "clients: a foreign page", guards: "a key for browsers that is for all of them",
		headers: with("page", "Origin: https://evil.example"), want: decision.OriginDenied},
	{name: "clients: a server", guards: "a key for servers that servers cannot use", headers: bearer("server"), key: "server",
		owner: "marketing"},
	{name: "clients: a server that sends Sec-Fetch-Mode", guards: "fetch of Node.js, which sends it, taken for a browser",
		headers: with("server", "Sec-Fetch-Mode: cors"), key: "server", owner: "marketing"},
	{name: "clients: a browser, by Origin", guards: "a key for servers in an allowed page",
		headers: with("server", "Origin: "+acmePage), readable: acmePage, want: decision.ClientDenied},
	{name: "clients: a browser, by an opaque Origin", guards: "a key for servers in a sandboxed frame",
		headers: with("server", "Origin: null"), want: decision.ClientDenied},
	{name: "clients: a browser, by Referer", guards: "a key for servers in a page without TLS",
		headers: with("server", "Referer: "+acmePage+"/x"), want: decision.ClientDenied},
	{name: "clients: a browser, by Sec-Fetch-Site", guards: "a key for servers in a page that sends no Referer",
		headers: with("server", "Sec-Fetch-Site: same-origin"), want: decision.ClientDenied},
	{name: "clients: comes after the project", guards: "another order than the documented one", request: "- - /none",
		headers: with("server", "Origin: "+acmePage), readable: acmePage, want: decision.ProjectUnknown},
}
