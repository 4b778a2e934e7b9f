package principal

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

func newSigner(t testing.TB) *Signer {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string][]byte{"a.pem": newPEM(t)})
	s, err := New(Config{Path: filepath.Join(dir, "a.pem"), Issuer: "us", Audience: "them"}, time.Now, slog.New(slog.DiscardHandler),
		prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// verified returns the claims of a principal, as another implementation of JWS reads them.
func verified(t rapid.TB, s *Signer, token string) (standard jwt.Claims, own claims) {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(s.Set(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if !k.Valid() || !k.IsPublic() || k.Use != "sig" || k.Algorithm != "EdDSA" {
			t.Fatalf("%s", s.Set())
		}
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatalf("%s: %v", token, err)
	}
	if parsed.Headers[0].ExtraHeaders[jose.HeaderType] != Type {
		t.Errorf("headers %+v", parsed.Headers)
	}
	if err := parsed.Claims(set, &standard, &own); err != nil {
		t.Fatalf("%s: %v", token, err)
	}
	return standard, own
}

func acme() decision.Decision {
	return decision.Decision{
		Key: decision.Key{ID: "k1", Scope: &decision.Scope{Projects: []string{"marketing"}, Permissions: []string{"read", "checkout"}}},
		Group: &decision.Group{Identity: "tenants/acme", DisplayName: "Acmé Inc", Tier: "Pro",
			Context: []decision.ContextValue{{Name: "bucketName", Value: "acme-media", Header: "X-Keyward-Context-Bucketname"}}},
		Project: &decision.Project{Name: "marketing"},
	}
}

func TestSign(t *testing.T) {
	s, d := newSigner(t), acme()
	at := time.Unix(1_795_000_000, 999_999_999)
	standard, own := verified(t, s, s.Sign(&d, "request-1", at))
	if standard.Issuer != "us" || !standard.Audience.Contains("them") || standard.Subject != "k1" || standard.ID != "request-1" ||
		standard.IssuedAt.Time().Unix() != 1_795_000_000 || standard.Expiry.Time().Unix() != 1_795_000_060 {
		t.Errorf("claims %+v", standard)
	}
	if own.Group != "tenants/acme" || own.GroupName != "Acmé Inc" || own.Tier != "Pro" || own.Project != "marketing" ||
		!slices.Equal(own.Permissions, []string{"read", "checkout"}) || !maps.Equal(own.Context, map[string]string{"bucketName": "acme-media"}) {
		t.Errorf("claims %+v", own)
	}
	expected := jwt.Expected{Time: time.Unix(1_795_000_061, 0)}
	if err := standard.ValidateWithLeeway(expected, 0); err == nil {
		t.Error("it lives for longer than a minute")
	}
}

// headersOf returns the headers that say the same.
func headersOf(c claims) (lines []string) {
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, name+": "+httpapi.Encode(value))
		}
	}
	add(httpapi.HeaderGroupName, c.GroupName)
	plain := map[string]string{httpapi.HeaderGroup: c.Group, httpapi.HeaderTier: c.Tier, httpapi.HeaderProject: c.Project,
		httpapi.HeaderKeyID: c.Subject, httpapi.HeaderPermissions: strings.Join(c.Permissions, ",")}
	for name, value := range c.Context {
		if header, ok := httpapi.ContextHeaderName(name); ok {
			plain[header] = value
		}
	}
	for name, value := range c.Sealed {
		if header, ok := httpapi.SealedHeaderName(name); ok {
			plain[header] = value
		}
	}
	for name, value := range plain {
		if value != "" {
			lines = append(lines, name+": "+value)
		}
	}
	slices.Sort(lines)
	return lines
}

// TestPrincipalsSayWhatHeadersSay, for any Group.
func TestPrincipalsSayWhatHeadersSay(t *testing.T) {
	s := newSigner(t)
	printable := rapid.StringMatching(`([!-~]([ -~]{0,10}[!-~])?)?`)
	name := rapid.StringMatching(`[A-Ca-c][A-Ca-c0-1]{0,2}`)
	rapid.Check(t, func(t *rapid.T) {
		d := decision.Decision{
			Key: decision.Key{ID: rapid.StringMatching(`k[a-z0-9]{1,5}`).Draw(t, "key"), Scope: &decision.Scope{
				Permissions: rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,5}`), 1, 3).Draw(t, "permissions")}},
			Group: &decision.Group{Identity: "tenants/" + rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "group"),
				DisplayName: strings.ToValidUTF8(rapid.String().Draw(t, "display name"), "?"), Tier: rapid.StringMatching(`[A-Za-z]{0,5}`).Draw(t, "tier")},
			Project: &decision.Project{Name: rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "project")},
		}
		for range rapid.IntRange(0, 5).Draw(t, "values") {
			value := decision.ContextValue{Name: name.Draw(t, "name"), Value: printable.Draw(t, "value")}
			value.Header, _ = httpapi.ContextHeaderName(value.Name)
			if rapid.Bool().Draw(t, "of the key") {
				d.Key.Scope.Context = append(d.Key.Scope.Context, value)
			} else {
				d.Group.Context = append(d.Group.Context, value)
			}
		}
		if rapid.Bool().Draw(t, "sealed") {
			header, _ := httpapi.SealedHeaderName("payment")
			d.Group.Sealed = []decision.ContextValue{{Name: "payment", Value: "v1.2026.c2VhbGVk", Header: header}}
		}
		byName := func(a, b decision.ContextValue) int { return strings.Compare(a.Name, b.Name) }
		slices.SortStableFunc(d.Group.Context, byName)
		slices.SortStableFunc(d.Key.Scope.Context, byName)
		_, own := verified(t, s, s.Sign(&d, "r", time.Now()))
		var want []string
		for _, h := range httpapi.ContextHeaders(d, "") {
			want = append(want, fmt.Sprint(h.Name, ": ", h.Value))
		}
		slices.Sort(want)
		if got := headersOf(own); !slices.Equal(got, want) {
			t.Errorf("claims\n%s\nheaders\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func BenchmarkSign(b *testing.B) {
	s, d := newSigner(b), acme()
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.Sign(&d, "4rmdbrsuhrhvlwgbvmh5dbgqzy", now)
	}
	b.ReportMetric(float64(len(s.Sign(&d, "4rmdbrsuhrhvlwgbvmh5dbgqzy", now))), "bytes")
}
