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
//	https://acme.com             https only
//	https://shop.acme.com:8443   https at that port only
//	acme.com:8443                http and https at that port
type Pattern struct {
	scheme   string // "" for both
	host     string // without "*.", where there is a wildcard
	wildcard bool
	port     uint16 // 0 for the default port of the scheme
}

const wildcardPrefix = "*."

// ParsePattern parses a pattern. Its errors say what to write instead.
func ParsePattern(s string) (Pattern, error) {
	if len(s) > len("https://*.")+maxWritten+len(":65535") {
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
			return Pattern{}, fmt.Errorf("the scheme must be http or https, or be left out for both")
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
	host, p.wildcard = strings.CutPrefix(host, wildcardPrefix)
	if strings.Contains(host, "*") {
		return Pattern{}, fmt.Errorf("a '*' is only allowed at the start, for subdomains, as in *.acme.com; list the domains to allow")
	}
	var err error
	if p.host, err = canonicalPatternHost(host); err != nil {
		return Pattern{}, err
	}
	return p, p.checkWildcard()
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
	if strings.Contains(host, "xn--") {
		if again, err := idna.Lookup.ToASCII(host); err != nil || again != host {
			return "", errHostIDN
		}
	}
	return host, nil
}

func (p Pattern) checkWildcard() error {
	switch {
	case !p.wildcard:
		return nil
	case strings.HasPrefix(p.host, "[") || endsInNumber(p.host):
		return fmt.Errorf("an IP address has no subdomains: leave out the '*.'")
	case !strings.Contains(p.host, ".") && p.host != "localhost":
		return fmt.Errorf("a wildcard over a whole top-level domain would allow anyone: write at least two labels, as in *.acme.%s", p.host)
	case len(p.host)+len("a.") > maxHost:
		return errHostLong
	default:
		return nil
	}
}

// Matches reports whether the pattern allows the origin.
func (p Pattern) Matches(o Origin) bool {
	if p.scheme != "" && p.scheme != o.Scheme {
		return false
	}
	port := p.port
	if port == 0 {
		port = defaultPort(o.Scheme)
	}
	if port != o.Port {
		return false
	}
	if !p.wildcard {
		return p.host != "" && p.host == o.Host
	}
	dot := len(o.Host) - len(p.host) - 1
	return dot > 0 && o.Host[dot] == '.' && o.Host[dot+1:] == p.host
}

// Host returns the host of the pattern, to look patterns up by: the exact host,
// or with a wildcard the host after it.
func (p Pattern) Host() (host string, wildcard bool) { return p.host, p.wildcard }

// Origins returns the origins that the pattern allows, to look patterns up by: at most one for
// each scheme. With a wildcard their host is the one after it.
func (p Pattern) Origins() iter.Seq[Origin] {
	return func(yield func(Origin) bool) {
		for _, scheme := range []string{schemeHTTP, schemeHTTPS} {
			if p.host == "" || p.scheme != "" && p.scheme != scheme {
				continue
			}
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
	s.WriteString(p.host)
	if p.port != 0 {
		s.WriteString(":" + strconv.Itoa(int(p.port)))
	}
	return s.String()
}
