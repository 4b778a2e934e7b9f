package options

import (
	"errors"
	"flag"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// duration is flags.DurationVar with an error that contains a hint.
func duration(flags *flag.FlagSet, value *time.Duration, name string, byDefault time.Duration, usage string) {
	*value = byDefault
	flags.Func(name, usage, func(text string) error {
		parsed, err := time.ParseDuration(text)
		if err != nil || parsed < 0 {
			return errors.New("write a duration such as 30s, 5m or 1h")
		}
		*value = parsed
		return nil
	})
}

func (c *Config) setUpstream(text string) error {
	upstream, err := url.Parse(text)
	if err != nil || upstream.Host == "" || !slices.Contains([]string{"http", "https", "h2c"}, upstream.Scheme) {
		return errors.New("write a URL such as http://127.0.0.1:9000")
	}
	if upstream.Path != "" && upstream.Path != "/" || upstream.RawQuery != "" || upstream.User != nil || upstream.Fragment != "" {
		return errors.New("leave out everything but scheme, host and port: paths are passed on unchanged")
	}
	upstream.Path = ""
	c.Upstream = upstream
	return nil
}

func (c *Config) keepOverrides(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if !httpapi.IsOverride(name) || !httpapi.IsUsual(name) {
			return errors.New("write names of headers that are removed because content servers may obey them, such as " +
				"X-HTTP-Method-Override,X-Original-URL; other headers are not affected")
		}
		c.Stripping.KeepOverrides = append(c.Stripping.KeepOverrides, name)
	}
	return nil
}

func (c *Config) addTrustedProxies(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(one))
		if err != nil {
			return errors.New("write CIDRs such as 10.0.0.0/8,2001:db8::/32")
		}
		c.TrustedProxies = append(c.TrustedProxies, prefix.Masked())
	}
	return nil
}

func (c *Config) setClientAddressHeader(text string) error {
	c.ClientAddressHeader = http.CanonicalHeaderKey(text)
	if c.ClientAddressHeader != clientaddr.HeaderXForwardedFor && c.ClientAddressHeader != clientaddr.HeaderForwarded {
		return errors.New("write X-Forwarded-For or Forwarded")
	}
	return nil
}

func (c *Config) addGroup(text string) error {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return errors.New("write namespace/name")
	}
	c.Sync.Groups = append(c.Sync.Groups, text)
	return nil
}

func (c *Config) addNamespace(text string) error {
	if text == "" || strings.Contains(text, "/") {
		return errors.New("write the name of one namespace")
	}
	c.Sync.Namespaces = append(c.Sync.Namespaces, text)
	return nil
}

func (c *Config) setOnStale(text string) error {
	switch text {
	case allow, deny:
		c.Store.DenyStale = text == deny
		return nil
	default:
		return errors.New("write allow or deny")
	}
}

func (c *Config) setPathParameters(text string) error {
	switch text {
	case allow, deny:
		c.Reading.Parameters = text == allow
		return nil
	default:
		return errors.New("write allow or deny")
	}
}

// isInvalidInInstance reports whether the manager refuses a character in the name of an instance.
func isInvalidInInstance(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._:/", r)
}
