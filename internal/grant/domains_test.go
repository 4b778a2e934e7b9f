package grant

import (
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestPublicSuffixes: a wildcard over what anybody can register is refused, one over shared hosting is warned of, and what
// belongs to one owner is neither.
func TestPublicSuffixes(t *testing.T) {
	for domain, want := range map[string]string{
		"*.co.uk":                  "public suffix",
		"https://*.co.uk:8443":     "public suffix",
		"*.CO.UK.":                 "public suffix",
		"app-*.co.uk":              "public suffix",
		"*.com.br":                 "public suffix",
		"*.kobe.jp":                "public suffix", // by the rule *.kobe.jp
		"*.city.kobe.jp":           "",              // by its exception
		"*.公司.cn":                  "public suffix",
		"null":                     "allow-same-origin",
		"NULL":                     "allow-same-origin",
		"*.vercel.app":             "warned",
		"app-*.vercel.app":         "warned",
		"https://*.github.io":      "warned",
		"*.pages.dev":              "warned",
		"app-*.acme.vercel.app":    "",
		"*.acme.github.io":         "",
		"acme.vercel.app":          "",
		"vercel.app":               "",
		"gov.uk":                   "",
		"co.uk":                    "",
		"*.acme.co.uk":             "",
		"*.acme.com":               "",
		"app-*.acme.com":           "",
		"*.corp.internal":          "",
		"*.localhost":              "",
		"capacitor://localhost":    "",
		"chrome-extension://co.uk": "",
	} {
		list := &v1alpha1.DomainAllowlist{}
		list.Spec.Domains = []string{"first.example", domain}
		problems, warnings := DomainProblems(list), SharedDomains(list).Warnings()
		if _, err := ParseDomain(domain); (err == nil) != (len(problems) == 0) {
			t.Errorf("%s: published %v, %d problems", domain, err, len(problems))
		}
		switch {
		case want == "warned":
			if len(problems) > 0 || len(warnings) != 1 || !strings.HasPrefix(warnings[0], "spec.domains[1]: "+domain) {
				t.Errorf("%s: %v, warns %q", domain, problems.First(), warnings)
			}
		case want == "":
			if len(problems) > 0 || len(warnings) > 0 {
				t.Errorf("%s: %v, warns %q", domain, problems.First(), warnings)
			}
		case len(problems) != 1 || problems[0].Field != "spec.domains[1]" || !strings.Contains(problems[0].Message, want) || len(warnings) > 0:
			t.Errorf("%s: %v, warns %q", domain, problems.First(), warnings)
		}
	}
}
