package options

import (
	"errors"
	"flag"
	"net/http"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	maxLocations   = 8
	maxParameter   = 32
	maxKeyHeader   = 32
	maxScheme      = 32
	tooMany        = "there are 8 already; one or two are enough for a migration"
	usualScheme    = "Bearer"
	headerExample  = "Ocp-Apim-Subscription-Key"
	headerWithKeys = "write the name of a header of up to 32 letters, digits and '-', which has keys and nothing else, such as " + headerExample
)

// keyFlags are about where keys are, beside the places where they always may be.
func (c *Config) keyFlags(flags *flag.FlagSet) {
	flags.Func("key-query-parameter", "`name` of a parameter of the query that has a key, for Groups with Query in "+
		"spec.keyPolicy.acceptIn; content servers never see a parameter of that name; repeatable; by default no key is looked for "+
		"in URLs", c.addKeyParameter)
	flags.Func("key-header", "`name` of a header that has a key, beside Authorization and X-Api-Key; content servers do not see it; "+
		"repeatable", c.addKeyHeader)
	flags.Func("key-scheme", "`scheme` of Authorization that has a key, beside Bearer, such as ApiKey; repeatable", c.addKeyScheme)
}

func (c *Config) addKeyParameter(name string) error {
	plain := func(r rune) bool { return isLetterOrDigit(r) || r == '-' || r == '_' }
	switch {
	case !isWord(name, maxParameter, plain):
		return errors.New("write a name of up to 32 letters, digits, '-' and '_', such as token")
	case strings.EqualFold(name, urltoken.Parameter):
		return errors.New("that name is for the tokens of signed URLs; write another one, such as token")
	case len(c.Keys.Parameters) == maxLocations:
		return errors.New(tooMany)
	}
	c.Keys.Parameters = append(c.Keys.Parameters, name)
	return nil
}

func (c *Config) addKeyHeader(name string) error {
	name = http.CanonicalHeaderKey(name)
	plain := func(r rune) bool { return isLetterOrDigit(r) || r == '-' }
	switch {
	case !isWord(name, maxKeyHeader, plain) || !httpapi.MayCarryKey(name):
		return errors.New(headerWithKeys)
	case len(c.Keys.Headers) == maxLocations:
		return errors.New(tooMany)
	case !slices.Contains(c.Keys.Headers, name):
		c.Keys.Headers = append(c.Keys.Headers, name)
	}
	return nil
}

func (c *Config) addKeyScheme(name string) error {
	plain := func(r rune) bool { return isLetterOrDigit(r) || r == '-' }
	taken := func(known string) bool { return strings.EqualFold(known, name) }
	switch {
	case !isWord(name, maxScheme, plain) || slices.ContainsFunc([]string{usualScheme, "Basic", "Digest", "Negotiate"}, taken):
		return errors.New("write the name of a scheme other than Bearer, Basic, Digest and Negotiate, such as ApiKey")
	case len(c.Keys.Schemes) == maxLocations:
		return errors.New(tooMany)
	}
	c.Keys.Schemes = append(c.Keys.Schemes, name)
	return nil
}

func isWord(text string, most int, plain func(rune) bool) bool {
	return text != "" && len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) })
}

func isLetterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
