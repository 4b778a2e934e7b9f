package view

import (
	"errors"
	"strings"

	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/origin"
)

// maxSite is how long the address of a site may be that is checked, in bytes.
const maxSite = 272 * 4

// Check says whether pages of a site may present keys, as validation servers decide it, by what the editor has; or what is wrong with the address of
// the site.
func Check(entered *EnteredAllowlist) (verdict *page.Verdict, problem string) {
	site := strings.TrimSpace(entered.Site)
	if len(site) > maxSite {
		return nil, "It is too long to be the address of a site."
	}
	if site == "null" {
		return &page.Verdict{Origin: site, Why: "null is what browsers send for sandboxed frames, local files and data: URLs of anybody. It is never allowed."}, ""
	}
	from, err := originOf(site)
	if err != nil {
		return nil, "Write the address of a site, such as https://www.acme.com."
	}
	verdict = &page.Verdict{Origin: from.String()}
	near := ""
	for _, domain := range entered.Domains[:min(len(entered.Domains), maxDomains)] {
		pattern, err := grant.ParseDomain(strings.TrimSpace(domain))
		switch {
		case err != nil:
		case pattern.Matches(from):
			verdict.Passes, verdict.Why = true, pattern.String()+" allows it."
			return verdict, ""
		case near == "":
			if why := pattern.Near(from); why != "" {
				near = pattern.String() + " is listed, but " + why + "."
			}
		}
	}
	switch {
	case from.IsLocalhost() && entered.Localhost:
		verdict.Passes, verdict.Why = true, "Localhost is allowed."
	case from.IsLocalhost():
		verdict.Why = "Localhost is not allowed here."
	case near != "":
		verdict.Why = near
	default:
		verdict.Why = "No site of this allowlist is like it."
	}
	if !verdict.Passes {
		verdict.Why += " Another allowlist of the same project may allow it."
	}
	return verdict, ""
}

var errNoSite = errors.New("no site")

// originOf returns the origin of pages of a site. People write it with a path, or without a scheme.
func originOf(site string) (origin.Origin, error) {
	if site == "" || strings.ContainsAny(site, "@*") {
		return origin.Origin{}, errNoSite
	}
	if !strings.Contains(site, "://") {
		site = "https://" + site
	}
	if from, err := origin.Parse(site); err == nil {
		return from, nil
	}
	return origin.ParseReferer(site)
}
