package content

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// FuzzPrincipals sends principals to content servers in both languages: they believe what was signed, and nothing else. Of the same bytes, a
// signature may have another spelling, which base64 allows and which changes nothing.
func FuzzPrincipals(f *testing.F) {
	k := startKeyward(f)
	later := map[string]any{"exp": 9_999_999_999, "group": "tenants/acme"}
	good := k.forge(jose.SigningKey{Algorithm: jose.EdDSA, Key: k.private}, nil, later)
	parts := strings.Split(good, ".")
	swapped := strings.NewReplacer("-", "+", "_", "/").Replace(parts[2])
	for _, seed := range []string{good, good + "=", good + ".", " " + good, good + ", " + good, "", ".", "..", parts[0] + "." + parts[1] + "." + swapped,
		parts[0] + "." + parts[1] + "." + parts[2][:85] + "B", parts[0] + "=." + parts[1] + "." + parts[2], "e30.e30." + parts[2],
		parts[0] + "..", "eyJhbGciOiJub25lIn0.e30.", parts[1] + "." + parts[0] + "." + parts[2], good[:40] + "\t" + good[40:]} {
		f.Add(seed)
	}
	var languages []string
	servers := map[string]contentServer{}
	for language, start := range contentServers {
		languages, servers[language] = append(languages, language), start(f, k.url)
	}
	slices.Sort(languages)
	f.Fuzz(func(t *testing.T, token string) {
		// Spaces around a value are no part of it, and the others are what no HTTP server lets pass.
		token = strings.Trim(token, " \t")
		if strings.ContainsFunc(token, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) || len(token) > 8<<10 {
			return
		}
		for _, language := range languages {
			group, err := servers[language].verify(t, []string{token})
			signed := strings.HasPrefix(token, parts[0]+"."+parts[1]+".")
			if err == nil && (!signed || group != "tenants/acme") || err != nil && token == good {
				t.Fatalf("%s: %q is %s, %v", language, token, group, err)
			}
		}
	})
}
