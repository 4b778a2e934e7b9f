// Package config reads the file that configures the console, beside its flags.
package config

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/console/oidc"
	"github.com/keyward-dev/keyward/internal/configfile"
)

// The type of the file.
const (
	APIVersion = "config.keyward.dev/v1alpha1"
	Kind       = "ConsoleConfiguration"
)

// File is what the file says.
type File struct {
	// OIDC is the provider that people sign in by; nil: there is none.
	OIDC *oidc.Settings
}

type file struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	OIDC       configfile.Fields `json:"oidc"`
}

type fileOIDC struct {
	Name             string            `json:"name"`
	Issuer           string            `json:"issuer"`
	ClientID         string            `json:"clientID"`
	ClientSecretFile string            `json:"clientSecretFile"`
	CAFile           string            `json:"caFile"`
	Scopes           []string          `json:"scopes"`
	PassToken        configfile.Fields `json:"passToken"`
	Impersonate      configfile.Fields `json:"impersonate"`
}

type fileImpersonate struct {
	Name      string   `json:"name"`
	Groups    string   `json:"groups"`
	Prefix    string   `json:"prefix"`
	Allowed   []string `json:"allowedGroups"`
	TokenFile string   `json:"tokenFile"`
}

const (
	// DefaultTokenFile is where Kubernetes gives a Pod the token of its ServiceAccount.
	DefaultTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path
	defaultName      = "claims.sub"

	mostScopes = 32
	mostText   = 256
	mostURL    = 2048

	absolutePath = "write an absolute path"
	issuerHint   = "write the https URL of the provider exactly as its ID tokens name it, such as https://login.example.com, without a query or a fragment"
	oidcHint     = "write an object with name, issuer, clientID, and one of passToken and impersonate"
	passHint     = "write {}"
	impersonate  = "write an object with groups, prefix and allowedGroups"
	nameHint     = "write a CEL expression over claims that is a string, such as claims.sub"
	groupsHint   = "write a CEL expression over claims that is a list of strings, such as claims.groups"
	prefixHint   = "write what is before each name and group, such as \"oidc:\": up to 40 small letters, digits, dots and dashes, and one of : / # at the end; " +
		"not system:"
	allowedHint = "write each group as Kubernetes knows it, with the prefix, such as \"oidc:team-a\"; it has no wildcards"
	emailHint   = "an address that the provider has not verified can be anybody's; write claims.email_verified ? claims.email : \"\""
)

var hints = map[string]string{
	"apiVersion": "write " + APIVersion, "kind": "write " + Kind, "oidc": oidcHint, "name": "write a text", "issuer": issuerHint,
	"clientID": "write the id that the provider has given to the console", "clientSecretFile": absolutePath, "caFile": absolutePath,
	"scopes": "write a list such as [openid, email, groups]", "passToken": passHint, "impersonate": impersonate,
	"groups": groupsHint, "prefix": prefixHint, "allowedGroups": "write a list of groups", "tokenFile": absolutePath,
}

var (
	prefixForm = regexp.MustCompile(`^[a-z0-9][-a-z0-9.]{0,38}[:/#]$`)
	scopeForm  = regexp.MustCompile(`^[!#-\[\]-~]+$`) // RFC 6749
)

// Load reads a file. An error is one line that names the file, what is wrong where, and how to fix it.
func Load(path string) (*File, error) { return configfile.Load(path, Parse) }

// Parse reads the text of a file.
func Parse(data []byte) (*File, error) {
	written, err := configfile.Parse(data)
	if err != nil {
		return nil, err
	}
	var f file
	p := parser{}
	p.decode(&f, written, nil)
	if f.APIVersion != APIVersion {
		p.invalid(field.NewPath("apiVersion"), f.APIVersion, "write "+APIVersion)
	}
	if f.Kind != Kind {
		p.invalid(field.NewPath("kind"), f.Kind, "write "+Kind)
	}
	parsed := &File{}
	if f.OIDC != nil {
		parsed.OIDC = p.oidc(f.OIDC, field.NewPath("oidc"))
	}
	if len(p.problems) > 0 {
		return nil, fmt.Errorf("%s", configfile.OneLine(p.problems.ToAggregate()))
	}
	return parsed, nil
}

// parser collects what is wrong.
type parser struct{ problems field.ErrorList }

func (p *parser) decode(into any, written configfile.Fields, path *field.Path) {
	p.problems = append(p.problems, configfile.Decode(into, written, path, hints)...)
}

func (p *parser) invalid(at *field.Path, value any, hint string) {
	if text, ok := value.(string); ok && text == "" {
		p.problems = append(p.problems, field.Required(at, hint))
		return
	}
	p.problems = append(p.problems, field.Invalid(at, value, hint))
}

func (p *parser) oidc(written configfile.Fields, path *field.Path) *oidc.Settings {
	f := fileOIDC{Scopes: []string{"openid", "profile", "email"}}
	p.decode(&f, written, path)
	settings := &oidc.Settings{Name: f.Name, Issuer: f.Issuer, ClientID: f.ClientID, ClientSecretFile: f.ClientSecretFile, CAFile: f.CAFile, Scopes: f.Scopes}
	if settings.Name == "" || len(settings.Name) > mostText {
		p.invalid(path.Child("name"), settings.Name, "write the name of the provider, which the button of the sign-in has")
	}
	if u, err := url.Parse(f.Issuer); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(f.Issuer, "?#") ||
		len(f.Issuer) > mostURL {
		p.invalid(path.Child("issuer"), f.Issuer, issuerHint)
	}
	if f.ClientID == "" || len(f.ClientID) > mostText {
		p.invalid(path.Child("clientID"), f.ClientID, hints["clientID"])
	}
	p.paths(path, map[string]string{"clientSecretFile": f.ClientSecretFile, "caFile": f.CAFile})
	for i, scope := range f.Scopes {
		if !scopeForm.MatchString(scope) || len(scope) > mostText {
			p.invalid(path.Child("scopes").Index(i), scope, "write the name of a scope, such as groups")
		}
	}
	switch {
	case len(f.Scopes) > mostScopes:
		p.problems = append(p.problems, field.TooMany(path.Child("scopes"), len(f.Scopes), mostScopes))
	case !slices.Contains(f.Scopes, "openid"):
		p.invalid(path.Child("scopes"), f.Scopes, "add openid: without it, there is no ID token")
	}
	_, passes := written["passToken"]
	_, impersonates := written["impersonate"]
	switch {
	case passes == impersonates:
		p.problems = append(p.problems, field.Required(path, "write one of passToken: {}, if the API server trusts the provider, and impersonate"))
	case passes:
		if f.PassToken == nil {
			p.invalid(path.Child("passToken"), "", passHint)
		}
		for _, name := range slices.Sorted(maps.Keys(f.PassToken)) {
			p.problems = append(p.problems, field.Forbidden(path.Child("passToken", name), "unknown field; remove it, or correct its name"))
		}
	default:
		settings.Impersonate = p.impersonate(f.Impersonate, path.Child("impersonate"))
	}
	return settings
}

func (p *parser) paths(at *field.Path, files map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path := files[name]; path != "" && !filepath.IsAbs(path) {
			p.invalid(at.Child(name), path, absolutePath)
		}
	}
}

func (p *parser) impersonate(written configfile.Fields, path *field.Path) *oidc.Impersonation {
	f := fileImpersonate{Name: defaultName, TokenFile: DefaultTokenFile}
	p.decode(&f, written, path)
	i := &oidc.Impersonation{TokenFile: f.TokenFile}
	i.Prefix, i.Allowed = f.Prefix, f.Allowed
	i.Name = p.expression(path.Child("name"), f.Name, false, nameHint)
	i.Groups = p.expression(path.Child("groups"), f.Groups, true, groupsHint)
	if strings.Contains(strings.ReplaceAll(f.Name, "email_verified", ""), "email") && !strings.Contains(f.Name, "email_verified") {
		p.invalid(path.Child("name"), f.Name, emailHint)
	}
	if !prefixForm.MatchString(f.Prefix) || f.Prefix == "system:" {
		p.invalid(path.Child("prefix"), f.Prefix, prefixHint)
		return i // what is allowed begins with it
	}
	switch {
	case len(f.Allowed) == 0:
		p.problems = append(p.problems, field.Required(path.Child("allowedGroups"), allowedHint))
	case len(f.Allowed) > oidc.MostAllowed:
		p.problems = append(p.problems, field.TooMany(path.Child("allowedGroups"), len(f.Allowed), oidc.MostAllowed))
	}
	for n, group := range f.Allowed {
		if !i.IsGroup(group) {
			p.invalid(path.Child("allowedGroups").Index(n), group, allowedHint)
		}
	}
	p.paths(path, map[string]string{"tokenFile": f.TokenFile})
	if f.TokenFile == "" {
		p.invalid(path.Child("tokenFile"), "", absolutePath)
	}
	return i
}

func (p *parser) expression(at *field.Path, text string, list bool, hint string) *oidc.Expression {
	if text == "" {
		p.invalid(at, "", hint)
		return nil
	}
	compiled, err := oidc.Compile(text, list)
	if err != nil {
		p.invalid(at, text, configfile.OneLine(err)+"; "+hint)
	}
	return compiled
}
