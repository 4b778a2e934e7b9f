package oidc_test

import (
	"context"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/console/oidc"
	"github.com/keyward-dev/keyward/console/session"
)

func mapping(t *testing.T, name, groups string) *oidc.Mapping {
	t.Helper()
	return &oidc.Mapping{Name: compile(t, name, false), Groups: compile(t, groups, true), Prefix: "oidc:", Allowed: []string{"oidc:team-a", "oidc:team-b"}}
}

func TestImpersonation(t *testing.T) {
	t.Parallel()
	var many []any
	for range 2000 {
		many = append(many, "a-group-of-somebody")
	}
	for name, one := range map[string]struct {
		name, groups string
		claims       map[string]any
		want, says   string
	}{
		"plain": {"claims.sub", "claims.groups", map[string]any{"sub": "ada", "groups": []any{"team-b", "team-a", "team-a", "other"}},
			"oidc:ada oidc:team-a oidc:team-b", ""},
		"computed": {"claims.email_verified ? claims.email : ''", `claims.roles.map(r, "team-" + r)`,
			map[string]any{"email": "ada@example.com", "email_verified": true, "roles": []any{"a"}}, "oidc:ada@example.com oidc:team-a", ""},
		"not verified": {"claims.email_verified ? claims.email : ''", `["team-a"]`,
			map[string]any{"email": "ada@example.com", "email_verified": false}, "", "no name of this account"},
		"no group":           {"claims.sub", "claims.groups", map[string]any{"sub": "ada", "groups": []any{}}, "", "in no group that may use this console"},
		"group not listed":   {"claims.sub", "claims.groups", map[string]any{"sub": "ada", "groups": []any{"other", "*", "oidc:team-a"}}, "", "in no group"},
		"system group":       {"claims.sub", "claims.groups", map[string]any{"sub": "ada", "groups": []any{"system:masters"}}, "", "in no group"},
		"claim is missing":   {"claims.sub", "claims.groups", map[string]any{"sub": "ada"}, "", "groups of this account cannot be read"},
		"name is missing":    {"claims.name", "claims.groups", map[string]any{"groups": []any{"team-a"}}, "", "name of this account cannot be read"},
		"name is no text":    {"claims.sub", "claims.groups", map[string]any{"sub": 7.0, "groups": []any{"team-a"}}, "", "name of this account cannot be read"},
		"groups are a text":  {"claims.sub", "claims.groups", map[string]any{"sub": "ada", "groups": "team-a"}, "", "groups of this account cannot be read"},
		"groups are numbers": {"claims.sub", "claims.groups", map[string]any{"sub": "ada", "groups": []any{7.0}}, "", "groups of this account cannot be read"},
		"too many groups":    {"claims.sub", "claims.groups + ['x', 'y']+claims.groups", map[string]any{"sub": "ada", "groups": many}, "", "more than 2048"},
		"expensive": {"claims.sub", "claims.groups.filter(a, claims.groups.exists(b, claims.groups.exists(c, a + b + c == 'x')))",
			map[string]any{"sub": "ada", "groups": many}, "", "costs too much"},
		"empty name": {"claims.sub", "['team-a']", map[string]any{"sub": ""}, "", "no name"},
		"wildcard":   {"claims.sub", "['team-a']", map[string]any{"sub": "*"}, "", "cannot be used here"},
		"a space":    {"claims.sub", "['team-a']", map[string]any{"sub": "ada "}, "", "cannot be used here"},
		"two lines":  {"claims.sub", "['team-a']", map[string]any{"sub": "ada\r\nImpersonate-Group: system:masters"}, "", "cannot be used here"},
		"too long":   {"claims.sub", "['team-a']", map[string]any{"sub": strings.Repeat("x", 252)}, "", "cannot be used here"},
	} {
		got, groups, err := mapping(t, one.name, one.groups).Person(t.Context(), one.claims)
		if one.says != "" {
			refused(t, err, one.says)
			if strings.Contains(err.Error(), "ada") {
				t.Errorf("%s: the error has a claim: %v", name, err)
			}
			continue
		}
		if all := got + " " + strings.Join(groups, " "); err != nil || all != one.want {
			t.Errorf("%s: %q, %v", name, all, err)
		}
	}
	over, stop := context.WithCancel(t.Context())
	stop()
	_, _, err := mapping(t, "claims.sub", "claims.groups.filter(g, g != 'x')").Person(over, map[string]any{"sub": "ada", "groups": many})
	refused(t, err, "groups of this account cannot be read")
}

// TestNobodyIsOfTheSystem: regardless of what a provider says, nobody is one of Kubernetes itself, and nobody has a group that is not listed.
func TestNobodyIsOfTheSystem(t *testing.T) {
	t.Parallel()
	m := mapping(t, "claims.sub", "claims.groups")
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"system:masters", "*", "oidc:", "oidc:team-a", "team-a", "team-b", " team-a", "team-a\n"}))
	rapid.Check(t, func(t *rapid.T) {
		claims := map[string]any{"sub": text.Draw(t, "sub")}
		var groups []any
		for _, one := range rapid.SliceOf(text).Draw(t, "groups") {
			groups = append(groups, one)
		}
		claims["groups"] = groups
		name, got, err := m.Person(context.Background(), claims)
		if err != nil {
			return
		}
		if !strings.HasPrefix(name, "oidc:") || len(got) == 0 {
			t.Fatalf("%q %q", name, got)
		}
		for _, one := range got {
			if one != "oidc:team-a" && one != "oidc:team-b" {
				t.Fatalf("%q", got)
			}
		}
	})
}

func TestReach(t *testing.T) {
	t.Parallel()
	i := &oidc.Impersonation{Mapping: *mapping(t, "claims.sub", "claims.groups"), TokenFile: "/token"}
	reach := i.Reach(&rest.Config{Host: "https://api", BearerToken: "x"}, func(session.Claims) (*rest.Config, error) { return &rest.Config{Host: "pasted"}, nil })
	got, err := reach(session.Claims{Name: "oidc:ada", Groups: []string{"oidc:team-a"}})
	if err != nil || got.Impersonate.UserName != "oidc:ada" || strings.Join(got.Impersonate.Groups, " ") != "oidc:team-a" || got.BearerTokenFile != "/token" ||
		got.BearerToken != "" || got.Host != "https://api" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = reach(session.Claims{Name: "bob", Credential: session.NewCredential("x")})
	if err != nil || got.Host != "pasted" || got.Impersonate.UserName != "" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, of := range []session.Claims{
		{Name: "bob", Groups: []string{"oidc:team-a"}}, {Name: "system:admin", Groups: []string{"oidc:team-a"}}, {Name: "oidc:", Groups: []string{"oidc:team-a"}},
		{Name: "oidc:ada"}, {Name: "oidc:ada", Groups: []string{"oidc:team-a", "system:masters"}}, {Name: "oidc:ada", Groups: []string{"oidc:gone"}}, {},
	} {
		if got, err := reach(of); err == nil {
			t.Errorf("%+v is reached: %+v", of, got.Impersonate)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"claims.": "Syntax error",
		"'a' + 7": "no matching overload",
		"7":       "should be string",
		strings.Repeat("(", 40) + "claims.sub" + strings.Repeat(")", 40): "recursion limit",
		"'" + strings.Repeat("x", 2048) + "'":                            "more than 2048 bytes",
	} {
		if _, err := oidc.Compile(text, false); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}
