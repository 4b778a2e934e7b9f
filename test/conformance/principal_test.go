package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/test/fixture"
)

const principalLine = httpapi.HeaderPrincipal + ": "

// principalTable has the ways in which a client may send a principal itself.
var principalTable = []testCase{
	{name: "a principal of the client's", guards: "an old principal that a client repeats, or one that it has made up",
		headers: []string{"X-Api-Key: {good}", "X-Keyward-Principal: eyJhbGciOiJub25lIn0.e30."}, key: "good", owner: "marketing"},
	{name: "two principals of the client's", guards: "the second of two lines that a content server takes",
		headers: []string{"X-Api-Key: {good}", "X-Keyward-Principal: a", "x-keyward-principal: b"}, key: "good", owner: "marketing"},
	{name: "a principal in another spelling", guards: "X_Keyward_Principal, which CGI and its successors read as X-Keyward-Principal",
		headers: []string{"X-Api-Key: {good}", "X_Keyward_Principal: a", "X.Keyward-Principal: b"}, key: "good", owner: "marketing"},
	{name: "a principal without a key", guards: "a principal taken for a credential", headers: []string{"X-Keyward-Principal: eyJhbGciOiJub25lIn0.e30."},
		want: decision.KeyMissing},
}

// takePrincipals checks the principals that an allowed request gets, and takes them out: they differ between requests.
func (o *outcome) takePrincipals(t *testing.T, keys *jose.JSONWebKeySet) {
	t.Helper()
	if !o.allowed {
		return
	}
	o.injected = takePrincipal(t, keys, o.injected, o.requestID)
	if o.hasUpstream {
		o.upstream = takePrincipal(t, keys, o.upstream, o.requestID)
	}
}

// takePrincipal checks the principal among header lines, and returns the other lines, which must say the same.
func takePrincipal(t *testing.T, keys *jose.JSONWebKeySet, lines []string, requestID string) []string {
	t.Helper()
	at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, principalLine) })
	if at < 0 {
		t.Errorf("there is no principal among\n%s", strings.Join(lines, "\n"))
		return lines
	}
	others := slices.Delete(slices.Clone(lines), at, at+1)
	if slices.ContainsFunc(others, func(line string) bool { return strings.HasPrefix(line, principalLine) }) {
		t.Errorf("there are two principals")
	}
	token, err := jwt.ParseSigned(strings.TrimPrefix(lines[at], principalLine), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Errorf("%s: %v", lines[at], err)
		return others
	}
	var standard jwt.Claims
	var own struct {
		Group       string            `json:"group"`
		GroupName   string            `json:"groupName"`
		Tier        string            `json:"tier"`
		Project     string            `json:"project"`
		Permissions []string          `json:"permissions"`
		Context     map[string]string `json:"context"`
		Sealed      map[string]string `json:"sealed"`
	}
	if err := token.Claims(keys, &standard, &own); err != nil {
		t.Errorf("%s: %v", lines[at], err)
		return others
	}
	if err := standard.Validate(jwt.Expected{Issuer: fixture.Issuer, AnyAudience: jwt.Audience{fixture.Audience}, Time: now, ID: requestID}); err != nil {
		t.Errorf("%+v for the request %q: %v", standard, requestID, err)
	}
	said := map[string]string{"X-Keyward-Group": own.Group, "X-Keyward-Group-Name": httpapi.Encode(own.GroupName), "X-Keyward-Tier": own.Tier,
		"X-Keyward-Project": own.Project, "X-Keyward-Key-Id": standard.Subject, "X-Keyward-Permissions": strings.Join(own.Permissions, ",")}
	for name, value := range own.Context {
		header, _ := httpapi.ContextHeaderName(name)
		said[header] = value
	}
	for name, value := range own.Sealed {
		header, _ := httpapi.SealedHeaderName(name)
		said[header] = value
	}
	var want []string
	for name, value := range said {
		if value != "" {
			want = append(want, name+": "+value)
		}
	}
	slices.Sort(want)
	got := slices.DeleteFunc(slices.Clone(others), func(line string) bool { return !strings.HasPrefix(line, "X-Keyward-") })
	if !slices.Equal(got, want) {
		t.Errorf("the principal says\n%s\nand the headers\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	return others
}
