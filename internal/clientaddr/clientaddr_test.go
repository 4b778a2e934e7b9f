package clientaddr

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:cafe::/48")}

func TestXForwardedFor(t *testing.T) {
	resolver := New(trusted, HeaderXForwardedFor)
	for name, c := range map[string]struct {
		peer     string
		lines    []string
		direct   string // "" if it is not known
		viaProxy string
	}{
		"a direct client":                 {"192.0.2.1:9", nil, "192.0.2.1", ""},
		"a direct client that pretends":   {"192.0.2.1:9", []string{"198.51.100.7"}, "192.0.2.1", ""},
		"a direct client, mapped":         {"[::ffff:192.0.2.1]:9", nil, "192.0.2.1", ""},
		"a direct client with a zone":     {"[fe80::1%eth0]:9", nil, "fe80::1", ""},
		"behind a proxy":                  {"10.0.0.1:9", []string{"192.0.2.1"}, "192.0.2.1", "192.0.2.1"},
		"behind a mapped proxy":           {"[::ffff:10.0.0.1]:9", []string{"192.0.2.1"}, "192.0.2.1", "192.0.2.1"},
		"behind a proxy, pretending":      {"10.0.0.1:9", []string{"198.51.100.7, 192.0.2.1"}, "192.0.2.1", "192.0.2.1"},
		"pretending on a line of its own": {"10.0.0.1:9", []string{"198.51.100.7", "192.0.2.1"}, "192.0.2.1", "192.0.2.1"},
		"pretending to be a proxy":        {"10.0.0.1:9", []string{"10.0.0.9, 192.0.2.1"}, "192.0.2.1", "192.0.2.1"},
		"behind two proxies":              {"10.0.0.1:9", []string{"198.51.100.7, 192.0.2.1 ,\t10.0.0.2"}, "192.0.2.1", "192.0.2.1"},
		"two proxies on two lines":        {"10.0.0.1:9", []string{"192.0.2.1", "10.0.0.2"}, "192.0.2.1", "192.0.2.1"},
		"with a port":                     {"10.0.0.1:9", []string{"192.0.2.1:4711"}, "192.0.2.1", "192.0.2.1"},
		"IPv6":                            {"10.0.0.1:9", []string{"2001:db8::1"}, "2001:db8::1", "2001:db8::1"},
		"IPv6 in brackets":                {"10.0.0.1:9", []string{"[2001:db8::1]"}, "2001:db8::1", "2001:db8::1"},
		"IPv6 with a port":                {"10.0.0.1:9", []string{"[2001:db8::1]:4711"}, "2001:db8::1", "2001:db8::1"},
		"an IPv6 proxy":                   {"[2001:db8:cafe::1]:9", []string{"192.0.2.1, 2001:db8:cafe:1::2"}, "192.0.2.1", "192.0.2.1"},
		"nobody but proxies":              {"10.0.0.1:9", []string{"10.0.0.3, 10.0.0.2"}, "", ""},
		"a proxy that does not say":       {"10.0.0.1:9", nil, "", ""},
		"unreadable":                      {"10.0.0.1:9", []string{"192.0.2.1, unknown"}, "", ""},
		"unreadable behind a proxy":       {"10.0.0.1:9", []string{"192.0.2.1, , 10.0.0.2"}, "", ""},
		"an IPv4 address in brackets":     {"10.0.0.1:9", []string{"[192.0.2.1]"}, "", ""},
		"an open bracket":                 {"10.0.0.1:9", []string{"[2001:db8::1"}, "", ""},
		"no open bracket":                 {"10.0.0.1:9", []string{"2001:db8::1]"}, "", ""},
		"empty":                           {"10.0.0.1:9", []string{""}, "", ""},
		"no network connection":           {"@", []string{"192.0.2.1"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{HeaderXForwardedFor: c.lines, HeaderForwarded: {"for=203.0.113.1"}}
			if got := text(resolver.FromConnection(Peer(c.peer), header)); got != c.direct {
				t.Errorf("seen %q, want %q", got, c.direct)
			}
			if got := text(resolver.FromTrustedProxy(Peer(c.peer), header)); got != c.viaProxy {
				t.Errorf("via a proxy %q, want %q", got, c.viaProxy)
			}
		})
	}
}

func TestForwarded(t *testing.T) {
	resolver := New(trusted, HeaderForwarded)
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"a token":                     {[]string{"for=192.0.2.1"}, "192.0.2.1"},
		"quoted":                      {[]string{`for="192.0.2.1:4711"`}, "192.0.2.1"},
		"IPv6":                        {[]string{`For="[2001:db8::1]:4711"`}, "2001:db8::1"},
		"among others":                {[]string{`proto=https; FOR=192.0.2.1 ;by=10.0.0.1;host="cdn.acme.example"`}, "192.0.2.1"},
		"two proxies":                 {[]string{"for=198.51.100.7, for=192.0.2.1, for=10.0.0.2;proto=http"}, "192.0.2.1"},
		"two proxies on two lines":    {[]string{"for=192.0.2.1", "for=10.0.0.2"}, "192.0.2.1"},
		"an open quote in front":      {[]string{`for=", for=192.0.2.1`}, "192.0.2.1"},
		"a comma in a quoted host":    {[]string{`for=192.0.2.1;host="x, for=198.51.100.7"`}, "192.0.2.1"},
		"an escaped quote in a host":  {[]string{`for=192.0.2.1;host="x, for=198.51.100.7;y=\""`}, "192.0.2.1"},
		"a backslash ends the string": {[]string{`for=192.0.2.1;host="x\\", for=10.0.0.2`}, "192.0.2.1"},
		"twice":                       {[]string{"for=192.0.2.1;for=198.51.100.7"}, ""},
		"hidden":                      {[]string{"for=192.0.2.1, for=_hidden"}, ""},
		"unknown":                     {[]string{"for=unknown"}, ""},
		"without for":                 {[]string{"for=192.0.2.1, proto=https"}, ""},
		"no pair":                     {[]string{"192.0.2.1"}, ""},
		"not at all":                  {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{HeaderForwarded: c.lines, HeaderXForwardedFor: {"203.0.113.1"}}
			if got := text(resolver.FromConnection(Peer("10.0.0.1:9"), header)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSingleAddressHeader(t *testing.T) {
	resolver := New(trusted, HeaderXForwardedFor)
	for _, c := range []struct {
		peer  string
		lines []string
		want  string
	}{
		{"10.0.0.1:9", []string{"192.0.2.1"}, "192.0.2.1"},
		{"10.0.0.1:9", []string{"192.0.2.1", "192.0.2.1"}, ""},
		{"10.0.0.1:9", []string{"192.0.2.1, 192.0.2.2"}, ""},
		{"10.0.0.1:9", []string{"10.0.0.2"}, ""},
		{"10.0.0.1:9", nil, ""},
		{"192.0.2.9:9", []string{"192.0.2.1"}, ""},
	} {
		if got := text(resolver.FromTrustedProxyLine(Peer(c.peer), c.lines)); got != c.want {
			t.Errorf("%s reports %q: got %q, want %q", c.peer, c.lines, got, c.want)
		}
	}
	if got := (*Resolver)(nil).FromConnection(Peer("192.0.2.1:9"), nil); got.String() != "192.0.2.1" {
		t.Errorf("without a resolver: %v", got)
	}
}

// TestClientsCannotChooseTheirAddress lets clients write anything in front of what honest proxies add.
func TestClientsCannotChooseTheirAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		header := rapid.SampledFrom([]string{HeaderXForwardedFor, HeaderForwarded}).Draw(t, "header")
		element := map[string]string{HeaderXForwardedFor: "%s", HeaderForwarded: `proto=http;for="%s"`}[header]
		forged := rapid.OneOf(rapid.StringMatching(`([ ",;=\\]|for|10\.0\.0\.1|198\.51\.100\.7){0,12}`), rapid.String()).Draw(t, "forged")
		chain := []string{forged, fmt.Sprintf(element, "192.0.2.1")}
		for range rapid.IntRange(0, 3).Draw(t, "proxies") {
			chain = append(chain, fmt.Sprintf(element, "10.1.2.3"))
		}
		split := rapid.IntRange(0, len(chain)-1).Draw(t, "split")
		lines := []string{strings.Join(chain[split:], ",")}
		if split > 0 {
			lines = []string{strings.Join(chain[:split], ", "), lines[0]}
		}
		if got := New(trusted, header).FromConnection(Peer("10.0.0.1:9"), http.Header{header: lines}); text(got) != "192.0.2.1" {
			t.Fatalf("%q: got %v", lines, got)
		}
	})
}

func text(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.String()
}
