package origin

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Pattern allows origins. The zero Pattern allows none.
//
//	acme.com                     that host, http and https at their default ports
//	*.acme.com                   every subdomain at any depth, not acme.com itself
//	app-*.acme.com               hosts of one label more than acme.com, such as app-42.acme.com: '*' is never empty, nor a dot
//	https://acme.com             https only
//	https://shop.acme.com:8443   https at that port only
//	acme.com:8443                http and https at that port
//	capacitor://localhost        an app or a browser extension, exactly
type Pattern struct {
	scheme   string // "" for http and https
	host     string // with a wildcard: what follows the first dot
	label    string // of a wildcard within the first label: that label, as in "app-*"
	wildcard bool   // "*."
	star     uint8  // where the '*' of the label is
	port     uint16 // 0 for the default port of the scheme
}

// Reach is which hosts a pattern allows, in relation to its Host.
type Reach uint8

// The reaches of patterns.
const (
	Exactly  Reach = iota // the host itself
	Below                 // all its subdomains
	OneLabel              // some hosts with one label more
)

const (
	wildcardPrefix = "*."
	punycodePrefix = "xn--"
)

// ParsePattern parses a pattern. Its errors say what to write instead.
func ParsePattern(s string) (Pattern, error) {
	if len(s) > maxScheme+len("://*.")+maxWritten+len(":65535") {
		return Pattern{}, errHostLong
	}
	pattern, err := parsePattern(s)
	if err != nil {
		return Pattern{}, fmt.Errorf("domain %q: %w", s, err)
	}
	return pattern, nil
}

func parsePattern(s string) (Pattern, error) {
	var p Pattern
	rest := s
	if strings.Contains(s, "://") {
		var ok bool
		if p.scheme, rest, ok = cutScheme(s); !ok {
			return Pattern{}, fmt.Errorf("the scheme must be http or https, be left out for both, or be that of an app or a browser "+
				"extension, as in capacitor://localhost%s", notOfApps[p.scheme])
		}
	}
	if err := checkSurroundings(rest); err != nil {
		return Pattern{}, err
	}
	host, portText, hasPort := cutPort(rest)
	if hasPort {
		var ok bool
		if p.port, ok = parsePort(portText); !ok {
			return Pattern{}, fmt.Errorf("the port must be a number from 1 to 65535")
		}
		if p.scheme != "" && p.port == defaultPort(p.scheme) {
			p.port = 0
		}
	}
	if err := p.parseHost(host); err != nil {
		return Pattern{}, err
	}
	return p, nil
}

func (p *Pattern) parseHost(host string) (err error) {
	if p.scheme != "" && !isWeb(p.scheme) {
		if strings.Contains(host, "*") {
			return fmt.Errorf("an app or a browser extension is listed exactly, without '*', which would allow that of anybody")
		}
		p.host, err = canonicalHostOf(p.scheme, host)
		return err
	}
	host, p.wildcard = strings.CutPrefix(host, wildcardPrefix)
	if first, rest, dotted := strings.Cut(host, "."); !p.wildcard && dotted && strings.Count(first, "*") == 1 {
		if err := p.parseLabel(first); err != nil {
			return err
		}
		host = rest
	}
	if strings.Contains(host, "*") {
		return fmt.Errorf("one '*' is allowed in the first label: alone for all subdomains, as in *.acme.com, or beside other " +
			"characters, as in app-*.acme.com; list the domains to allow")
	}
	if p.host, err = canonicalPatternHost(host); err != nil {
		return err
	}
	return p.checkWildcard()
}

// parseLabel reads a label with one '*'. It has to be ASCII: the punycode of a name begins and ends with other characters
// than the name.
func (p *Pattern) parseLabel(label string) error {
	if !isASCII(label) || len(label) >= len(punycodePrefix) && strings.EqualFold(label[:len(punycodePrefix)], punycodePrefix) {
		return fmt.Errorf("a label of an international name cannot have a '*'; list the domains to allow")
	}
	if len(label) > maxLabel {
		return errHostLabel
	}
	p.label, p.star = strings.ToLower(label), uint8(strings.IndexByte(label, '*')) //nolint:gosec // below maxLabel
	return checkHost(strings.Replace(p.label, "*", "a", 1))
}

// checkSurroundings returns a specific error for parts that do not belong to a host.
func checkSurroundings(rest string) error {
	switch {
	case rest == "":
		return fmt.Errorf("it is empty: write a domain such as acme.com")
	case strings.ContainsAny(rest, " \t\r\n,;"):
		return fmt.Errorf("write one domain in each entry, without spaces or commas")
	case strings.Contains(rest, "@"):
		return fmt.Errorf("leave out the user name before '@'")
	case strings.ContainsAny(rest, `/\?#`):
		return fmt.Errorf("an origin has no path: leave out the '/' and everything after it")
	case strings.Count(rest, ":") > 1 && !strings.Contains(rest, "["):
		return fmt.Errorf("write an IPv6 address in brackets, as in [2001:db8::1]")
	default:
		return nil
	}
}

// canonicalPatternHost also checks a host that is written as punycode: browsers never
// send punycode that is invalid.
func canonicalPatternHost(host string) (string, error) {
	host, err := canonicalHost(host)
	if err != nil {
		return "", err
	}
	if strings.Contains(host, punycodePrefix) {
		if again, err := idna.Lookup.ToASCII(host); err != nil || again != host {
			return "", errHostIDN
		}
	}
	return host, nil
}

func (p *Pattern) checkWildcard() error {
	switch {
	case !p.wildcard && p.label == "":
		return nil
	case strings.HasPrefix(p.host, "[") || endsInNumber(p.host):
		return fmt.Errorf("an IP address has no subdomains: leave out the '*'")
	case !strings.Contains(p.host, ".") && p.host != "localhost":
		return fmt.Errorf("a wildcard over a whole top-level domain would allow anyone: write at least two labels, as in *.acme.%s", p.host)
	case len(p.host)+len(".")+max(1, len(p.label)) > maxHost:
		return errHostLong
	default:
		return nil
	}
}

// Matches reports whether the pattern allows the origin.
func (p Pattern) Matches(o Origin) bool { return p.matchesOthers(o) && p.matchesHost(o.Host) }

// matchesOthers compares scheme and port. A pattern without a scheme is for web pages.
func (p Pattern) matchesOthers(o Origin) bool {
	if p.scheme != o.Scheme && (p.scheme != "" || !isWeb(o.Scheme)) {
		return false
	}
	port := p.port
	if port == 0 {
		port = defaultPort(o.Scheme)
	}
	return port == o.Port
}

func (p Pattern) matchesHost(host string) bool {
	if !p.wildcard && p.label == "" {
		return p.host != "" && p.host == host
	}
	dot := len(host) - len(p.host) - 1
	if dot <= 0 || host[dot] != '.' || host[dot+1:] != p.host {
		return false
	}
	return p.wildcard || p.matchesLabel(host[:dot])
}

func (p Pattern) matchesLabel(first string) bool {
	return len(first) >= len(p.label) && strings.HasPrefix(first, p.label[:p.star]) && strings.HasSuffix(first, p.label[p.star+1:]) &&
		strings.IndexByte(first, '.') < 0
}

// Host returns the host of the pattern, to look patterns up by, and which hosts it allows in relation to that.
func (p Pattern) Host() (host string, reach Reach) {
	switch {
	case p.wildcard:
		return p.host, Below
	case p.label != "":
		return p.host, OneLabel
	default:
		return p.host, Exactly
	}
}

// IsWeb reports whether the pattern is for web pages, whose hosts are looked up in DNS.
func (p Pattern) IsWeb() bool { return p.scheme == "" || isWeb(p.scheme) }

// Origins returns the origins that the pattern allows, to look patterns up by: at most one for
// each scheme. With a wildcard their host is the Host.
func (p Pattern) Origins() iter.Seq[Origin] {
	return func(yield func(Origin) bool) {
		if p.host == "" {
			return
		}
		schemes := []string{p.scheme}
		if p.scheme == "" {
			schemes = []string{schemeHTTP, schemeHTTPS}
		}
		for _, scheme := range schemes {
			port := p.port
			if port == 0 {
				port = defaultPort(scheme)
			}
			if !yield(Origin{Scheme: scheme, Host: p.host, Port: port}) {
				return
			}
		}
	}
}

// String returns the canonical form, from which ParsePattern returns an equal Pattern.
func (p Pattern) String() string {
	var s strings.Builder
	if p.scheme != "" {
		s.WriteString(p.scheme + "://")
	}
	if p.wildcard {
		s.WriteString(wildcardPrefix)
	}
	if p.label != "" {
		s.WriteString(p.label + ".")
	}
	s.WriteString(p.host)
	if p.port != 0 {
		s.WriteString(":" + strconv.Itoa(int(p.port)))
	}
	return s.String()
}
