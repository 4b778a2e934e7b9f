package origin

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// The limits of RFC 1035, section 2.3.4, in octets.
const (
	maxHost  = 253
	maxLabel = 63

	// maxWritten is the greatest length of a host as it is written: each character of an international
	// name takes up to 4 bytes in UTF-8, and becomes at least one. The time to compute its punycode
	// grows with the square of its length, so nothing longer is processed.
	maxWritten = 4 * (maxHost + 1)
)

var (
	errHostEmpty      = errors.New("the host is empty")
	errHostLong       = errors.New("the host is longer than 253 characters")
	errHostLabel      = errors.New("between two dots there must be 1 to 63 characters")
	errHostCharacters = errors.New("a host has letters, digits, '-' and '_' only")
	errHostIP         = errors.New("a host that ends in a number must be an IPv4 address such as 192.0.2.1, and one in brackets an IPv6 address such as [2001:db8::1]")
	errHostIDN        = errors.New("the international domain name is not valid (IDNA 2008)")
)

// canonicalHost lowercases a host, drops the dot at its end (the same host in DNS), and
// turns IDN into punycode and IP addresses into their one canonical spelling.
func canonicalHost(host string) (string, error) {
	if len(host) > maxWritten {
		return "", errHostLong
	}
	if strings.HasPrefix(host, "[") {
		return canonicalIPv6(host)
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" {
		return "", errHostEmpty
	}
	if !isASCII(host) {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", errHostIDN
		}
		host = strings.TrimSuffix(ascii, ".") // IDNA accepts other dots than '.', also at the end
	}
	host = strings.ToLower(host)
	if err := checkHost(host); err != nil {
		return "", err
	}
	if endsInNumber(host) {
		if address, err := netip.ParseAddr(host); err != nil || !address.Is4() {
			return "", errHostIP
		}
	}
	return host, nil
}

func canonicalIPv6(host string) (string, error) {
	if !strings.HasSuffix(host, "]") {
		return "", errHostIP
	}
	address, err := netip.ParseAddr(host[1 : len(host)-1])
	if err != nil || !address.Is6() || address.Zone() != "" {
		return "", errHostIP
	}
	if address.Is4In6() { // netip writes these with dots, browsers without
		return canonical4In6(address), nil
	}
	return "[" + address.String() + "]", nil
}

// canonical4In6 writes ::ffff:192.0.2.1 as browsers do, [::ffff:c000:201].
func canonical4In6(address netip.Addr) string {
	bytes := address.As16()
	const digits = "0123456789abcdef"
	group := func(high, low byte) string {
		hex := string([]byte{digits[high>>4], digits[high&15], digits[low>>4], digits[low&15]})
		if hex = strings.TrimLeft(hex, "0"); hex == "" {
			return "0"
		}
		return hex
	}
	return "[::ffff:" + group(bytes[12], bytes[13]) + ":" + group(bytes[14], bytes[15]) + "]"
}

// checkHost checks a lowercase ASCII host in one pass.
func checkHost(host string) error {
	if len(host) > maxHost {
		return errHostLong
	}
	label := 0
	for i := range len(host) {
		switch c := host[i]; {
		case c == '.':
			if label == 0 {
				return errHostLabel
			}
			label = 0
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			if label++; label > maxLabel {
				return errHostLabel
			}
		default:
			return errHostCharacters
		}
	}
	if label == 0 {
		return errHostLabel
	}
	return nil
}

// endsInNumber is the WHATWG URL rule that distinguishes what is meant as an IPv4 address, in any of its
// unusual spellings, from a name. No top-level domain starts with a digit.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && last[0] >= '0' && last[0] <= '9' && (isDigits(last) || strings.HasPrefix(last, "0x"))
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
