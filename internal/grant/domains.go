package grant

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/origin"
)

var errNull = errors.New("null is what browsers send for sandboxed frames, local files and data: URLs of anybody, so it is never " +
	"allowed: give a sandboxed frame allow-same-origin, or serve the page from a host and list that")

// ParseDomain parses a domain of an allowlist, and refuses those that would allow anybody. Only domains that it accepts are
// published.
func ParseDomain(domain string) (origin.Pattern, error) {
	if strings.EqualFold(domain, "null") { // as a host it would never be in an Origin
		return origin.Pattern{}, errNull
	}
	pattern, err := origin.ParsePattern(domain)
	if err != nil {
		return origin.Pattern{}, err
	}
	if host, open, official := openTo(pattern); open && official {
		return origin.Pattern{}, fmt.Errorf("anybody can register a domain below %s, which is a public suffix: write the domains that are "+
			"yours, as in *.acme.%s", host, host)
	}
	return pattern, nil
}

// openTo reports whether anybody may get a host that a pattern with a wildcard may allow, by the Public Suffix List:
// below an official suffix, such as co.uk, or below one of a company that hosts the sites of its customers, such as vercel.app.
func openTo(pattern origin.Pattern) (host string, open, official bool) {
	host, reach := pattern.Host()
	if reach == origin.Exactly || !strings.Contains(host, ".") {
		return host, false, false
	}
	suffix, official := publicsuffix.PublicSuffix(host)
	if suffix == host {
		return host, true, official
	}
	// The list also has suffixes such as *.kobe.jp, of which kobe.jp is none itself.
	below, official := publicsuffix.PublicSuffix("a." + host)
	return host, len(below) > len(host), official
}

// DomainProblems returns all that is wrong with the domains of an allowlist.
func DomainProblems(list *v1alpha1.DomainAllowlist) Problems {
	var problems Problems
	seen := make(map[string]bool, len(list.Spec.Domains))
	for i, domain := range list.Spec.Domains {
		if problems.full() {
			break
		}
		if seen[domain] { // to compare them all costs more than a rule of the schema may
			problems = append(problems, invalid(fmt.Sprintf("spec.domains[%d]", i), domain, "each is named once; remove the duplicate"))
			continue
		}
		seen[domain] = true
		if _, err := ParseDomain(domain); err != nil {
			problems = append(problems, invalid(fmt.Sprintf("spec.domains[%d]", i), domain, err.Error()))
		}
	}
	return problems
}

// Domains returns the first problem of DomainProblems, or nil.
func Domains(list *v1alpha1.DomainAllowlist) *Problem { return DomainProblems(list).First() }

// SharedDomains returns the domains of an allowlist that allow sites of strangers on shared hosting. They are in force, and
// admission and status warn of them.
func SharedDomains(list *v1alpha1.DomainAllowlist) Problems {
	var shared Problems
	for i, domain := range list.Spec.Domains {
		pattern, err := origin.ParsePattern(domain)
		if err != nil {
			continue
		}
		host, open, official := openTo(pattern)
		if !open || official {
			continue
		}
		message := fmt.Sprintf("%s allows sites of strangers, too: whoever hosts one on %s chooses its name", domain, host)
		if _, reach := pattern.Host(); reach == origin.Below {
			message += "; list your own hosts, or those of a domain that is yours"
		} else {
			message += ", and can choose one that fits; use a domain that is yours, or a pattern with a part that only you may use"
		}
		shared = append(shared, invalid(fmt.Sprintf("spec.domains[%d]", i), domain, message))
	}
	return shared
}
