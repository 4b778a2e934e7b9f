package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/console/config"
)

const head = "apiVersion: config.keyward.dev/v1alpha1\nkind: ConsoleConfiguration\n"

const passes = head + `oidc:
  name: Example
  issuer: https://login.example.com
  clientID: keyward
  passToken: {}
`

const impersonates = head + `oidc:
  name: Example
  issuer: https://login.example.com/realms/a
  clientID: keyward
  clientSecretFile: /secret
  scopes: [openid, groups]
  impersonate:
    name: 'claims.email_verified ? claims.email : ""'
    groups: claims.groups.filter(g, g.startsWith("team-"))
    prefix: "oidc:"
    allowedGroups: ["oidc:team-a", "oidc:Domain Users"]
`

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := config.Parse([]byte(passes))
	if err != nil || got.OIDC.Impersonate != nil || got.OIDC.Name != "Example" || strings.Join(got.OIDC.Scopes, " ") != "openid profile email" {
		t.Fatalf("%v %+v", err, got)
	}
	got, err = config.Parse([]byte(impersonates))
	if err != nil || got.OIDC.Impersonate == nil || got.OIDC.Impersonate.Prefix != "oidc:" || got.OIDC.Impersonate.TokenFile != config.DefaultTokenFile ||
		len(got.OIDC.Impersonate.Allowed) != 2 || got.OIDC.Impersonate.Name == nil || got.OIDC.Impersonate.Groups == nil || got.OIDC.ClientSecretFile != "/secret" {
		t.Fatalf("%v %+v", err, got)
	}
	if got, err := config.Parse([]byte(head)); err != nil || got.OIDC != nil {
		t.Errorf("%v %+v", err, got)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, one := range []struct{ text, old, new, says string }{
		{passes, "ConsoleConfiguration", "Console", "kind: Invalid value"},
		{passes, "v1alpha1", "v1", "apiVersion: Invalid value"},
		{passes, "name: Example", "nom: Example", "oidc.nom: Forbidden: unknown field"},
		{passes, "name: Example", "nom: Example", "oidc.name: Required value"},
		{passes, "https://login", "http://login", "oidc.issuer: Invalid value"},
		{passes, "example.com", "example.com?x", "oidc.issuer: Invalid value"},
		{passes, "https://", "https://user@", "oidc.issuer: Invalid value"},
		{passes, "clientID: keyward", "clientID: 7", "oidc.clientID: Invalid value"},
		{passes, "  passToken: {}\n", "", "oidc: Required value: write one of passToken"},
		{passes, "passToken: {}", "passToken: {a: 1}", "oidc.passToken.a: Forbidden"},
		{passes, "passToken: {}", "passToken: {}\n  impersonate: {}", "oidc: Required value: write one of passToken"},
		{passes, "passToken: {}", "passToken: {}\n  scopes: [email]", "oidc.scopes: Invalid value"},
		{passes, "passToken: {}", "passToken: {}\n  scopes: [openid, \"a b\"]", "oidc.scopes[1]: Invalid value"},
		{passes, "passToken: {}", "passToken: {}\n  caFile: ca.crt", "oidc.caFile: Invalid value"},
		{impersonates, `'claims.email_verified ? claims.email : ""'`, "claims.email", "oidc.impersonate.name: Invalid value"},
		{impersonates, `'claims.email_verified ? claims.email : ""'`, `claims["email"]`, "write claims.email_verified"},
		{impersonates, `'claims.email_verified ? claims.email : ""'`, "claims.", "oidc.impersonate.name: Invalid value"},
		{impersonates, `'claims.email_verified ? claims.email : ""'`, "'[claims.sub]'", "should be string"},
		{impersonates, `'claims.email_verified ? claims.email : ""'`, "'other.sub'", "undeclared reference"},
		{impersonates, `claims.groups.filter(g, g.startsWith("team-"))`, "'\"a\"'", "should be list(string)"},
		{impersonates, `claims.groups.filter(g, g.startsWith("team-"))`, `""`, "oidc.impersonate.groups: Required value"},
		{impersonates, `prefix: "oidc:"`, `prefix: ""`, "oidc.impersonate.prefix: Required value"},
		{impersonates, `prefix: "oidc:"`, `prefix: "system:"`, "oidc.impersonate.prefix: Invalid value"},
		{impersonates, `prefix: "oidc:"`, `prefix: "sys"`, "oidc.impersonate.prefix: Invalid value"},
		{impersonates, `["oidc:team-a", "oidc:Domain Users"]`, "[]", "oidc.impersonate.allowedGroups: Required value"},
		{impersonates, `"oidc:team-a"`, `"*"`, "oidc.impersonate.allowedGroups[0]: Invalid value"},
		{impersonates, `"oidc:team-a"`, `"oidc:*"`, "oidc.impersonate.allowedGroups[0]: Invalid value"},
		{impersonates, `"oidc:team-a"`, `"oidc:"`, "oidc.impersonate.allowedGroups[0]: Invalid value"},
		{impersonates, `"oidc:team-a"`, `"oidc:a "`, "oidc.impersonate.allowedGroups[0]: Invalid value"},
		{impersonates, `"oidc:team-a"`, `"system:masters"`, "oidc.impersonate.allowedGroups[0]: Invalid value"},
		{impersonates, `prefix:`, "tokenFile: a\n    prefix:", "oidc.impersonate.tokenFile: Invalid value"},
	} {
		text := strings.Replace(one.text, one.old, one.new, 1)
		if text == one.text {
			t.Fatalf("%q is not in the file", one.old)
		}
		if _, err := config.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), one.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", one.new, err)
		}
	}
	path := filepath.Join(t.TempDir(), "console.yaml")
	if err := os.WriteFile(path, []byte(head+"x: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || !strings.HasPrefix(err.Error(), path+": x: Forbidden") {
		t.Error(err)
	}
}
