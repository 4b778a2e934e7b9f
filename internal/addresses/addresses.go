// Package addresses reads the address prefixes from which keys are accepted. Manager and validator share it, so that both
// mean the same by a text.
package addresses

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Max is how many prefixes a key may have.
const Max = 64

const mappedBits = 96 // of the prefix of IPv4-mapped IPv6 addresses

var (
	errForm = errors.New("it must be an address with the length of its prefix, such as 192.0.2.0/24")
	errAll  = errors.New("a range of all addresses restricts nothing")
)

// Parse reads a prefix. Bits after its length are cleared, and a prefix of IPv4-mapped IPv6 addresses becomes the one of
// IPv4: addresses of clients have that form.
func Parse(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errForm // which does not repeat the text
	}
	if address := prefix.Addr(); address.Is4In6() {
		if prefix.Bits() < mappedBits {
			return netip.Prefix{}, errForm
		}
		prefix = netip.PrefixFrom(address.Unmap(), prefix.Bits()-mappedBits)
	}
	if prefix.Bits() == 0 {
		return netip.Prefix{}, errAll
	}
	return prefix.Masked(), nil
}

// ParseAll reads the prefixes of a key. If one of them cannot be read, none is returned: with fewer prefixes the key would
// be accepted from other addresses than it declares.
func ParseAll(texts []string) ([]netip.Prefix, error) {
	if len(texts) > Max {
		return nil, fmt.Errorf("there are %d prefixes, more than %d", len(texts), Max)
	}
	if len(texts) == 0 {
		return nil, nil
	}
	prefixes := make([]netip.Prefix, 0, len(texts))
	for i, text := range texts {
		prefix, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("addresses[%d]: %w", i, err)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// Canonical returns the texts of prefixes in one form and order, each once, so that keys with the same prefixes have the
// same texts. Texts that cannot be read stay as they are, for the validator to refuse.
func Canonical[T ~string](texts []T) []string {
	if len(texts) == 0 {
		return nil
	}
	canonical := make([]string, 0, len(texts))
	for _, text := range texts {
		if prefix, err := Parse(string(text)); err == nil {
			canonical = append(canonical, prefix.String())
		} else {
			canonical = append(canonical, string(text))
		}
	}
	slices.Sort(canonical)
	return slices.Compact(canonical)
}

// Contain reports whether one of the prefixes contains the address, which is not IPv4-mapped.
func Contain(prefixes []netip.Prefix, address netip.Addr) bool {
	for i := range prefixes {
		if prefixes[i].Contains(address) {
			return true
		}
	}
	return false
}
