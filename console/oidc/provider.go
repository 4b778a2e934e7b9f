// Package oidc signs people in to the console by an OpenID Connect provider: by the authorization code flow with PKCE. Kubernetes then knows a person
// by the ID token, where the API server trusts the provider; or the console impersonates the person, within what is configured.
package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
)

// CallbackPath is where the provider sends browsers back to, below the console's origin.
const CallbackPath = session.SignInPath + "/callback"

const (
	mostSecret = 4 << 10
	mostCode   = 4 << 10
	mostToken  = 64 << 10
)

// Settings are those of one provider.
type Settings struct {
	// Name is shown to people.
	Name string
	// Issuer is its URL, which ID tokens name.
	Issuer string
	// ClientID is what the provider knows the console by.
	ClientID string
	// ClientSecretFile has the secret of the client, and is read at each use; empty: the client has none.
	ClientSecretFile string
	// CAFile has the authorities of the provider's certificate; empty: those of the system.
	CAFile string
	// Scopes are asked for, openid among them.
	Scopes []string
	// Impersonate says whom the console impersonates; nil: Kubernetes knows people by the ID token.
	Impersonate *Impersonation
}

// Impersonation is a Mapping, and the credential of the console.
type Impersonation struct {
	Mapping
	// TokenFile has the token of the ServiceAccount of the console.
	TokenFile string
}

// Environment is what a Provider gets from the console.
type Environment struct {
	Origin string // of the console
	Ring   *keyring.Ring
	Now    func() time.Time
	Log    *slog.Logger
	// Verify returns whom the API server takes a token for, as bearer.Tokens does.
	Verify func(ctx context.Context, token string) (session.Claims, error)
}

// Provider implements web.Provider.
type Provider struct {
	settings Settings
	around   Environment
	flows    *flows
	found    *discovery
}

var _ web.Provider = (*Provider)(nil)

// New returns a Provider. It asks nobody: the console starts also while the provider is down.
func New(settings Settings, around Environment) (*Provider, error) {
	client, err := newClient(settings.CAFile)
	if err != nil {
		return nil, err
	}
	return &Provider{settings, around, newFlows(around.Ring, around.Now), newDiscovery(settings.Issuer, client, around.Now)}, nil
}

// Name is that of the provider.
func (p *Provider) Name() string { return p.settings.Name }

func (p *Provider) client(f *found) (*oauth2.Config, error) {
	c := &oauth2.Config{ClientID: p.settings.ClientID, Endpoint: f.endpoint, RedirectURL: p.around.Origin + CallbackPath, Scopes: p.settings.Scopes}
	if p.settings.ClientSecretFile == "" {
		c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
		return c, nil
	}
	file, err := os.Open(p.settings.ClientSecretFile)
	if err != nil {
		return nil, fmt.Errorf("reading the secret of the client: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostSecret))
	if err != nil {
		return nil, fmt.Errorf("reading the secret of the client: %w", err)
	}
	if c.ClientSecret = strings.TrimSpace(string(text)); c.ClientSecret == "" {
		return nil, errors.New("the file of the secret of the client is empty")
	}
	return c, nil
}

// Begin implements web.Provider.
func (p *Provider) Begin(w http.ResponseWriter, r *http.Request, next string) (string, error) {
	f, err := p.found.get(r.Context())
	if err != nil {
		return "", p.failed("the provider of sign-ins cannot be reached", err)
	}
	client, err := p.client(f)
	if err != nil {
		return "", p.failed("no sign-in can begin", err)
	}
	begun, err := p.flows.begin(w, session.LocalPath(next))
	if err != nil {
		return "", err
	}
	return client.AuthCodeURL(begun.State, gooidc.Nonce(begun.Nonce), oauth2.S256ChallengeOption(begun.Verifier)), nil
}

// End implements web.Provider.
func (p *Provider) End(w http.ResponseWriter, r *http.Request) (of session.Claims, next string, err error) {
	query := r.URL.Query()
	begun, ok := p.flows.end(w, r, query.Get("state"))
	if !ok {
		return of, "/", web.ErrNotBegun
	}
	for name, values := range query {
		if len(values) != 1 && slices.Contains([]string{"state", "code", "error", "iss"}, name) {
			return of, begun.Next, refusal("The provider sent an answer that has no one meaning. Try again.")
		}
	}
	if issuer := query.Get("iss"); issuer != "" && issuer != p.settings.Issuer { // RFC 9207
		return of, begun.Next, refusal("The answer is of another provider. Try again.")
	}
	if code := query.Get("error"); code != "" {
		return of, begun.Next, refusal("%s", meaning(code))
	}
	code := query.Get("code")
	if code == "" || len(code) > mostCode {
		return of, begun.Next, refusal("The provider sent no code. Try again.")
	}
	raw, token, err := p.redeem(r.Context(), code, begun)
	if err != nil {
		return of, begun.Next, err
	}
	of, err = p.person(r.Context(), raw, token)
	return of, begun.Next, err
}

// redeem has the provider give an ID token for a code, and verifies it.
func (p *Provider) redeem(ctx context.Context, code string, begun flow) (raw string, token *gooidc.IDToken, err error) {
	f, err := p.found.get(ctx)
	if err != nil {
		return "", nil, p.failed("the provider of sign-ins cannot be reached", err)
	}
	client, err := p.client(f)
	if err != nil {
		return "", nil, p.failed("no sign-in can end", err)
	}
	ctx, stop := context.WithTimeout(gooidc.ClientContext(ctx, p.found.client), timeout)
	defer stop()
	got, err := client.Exchange(ctx, code, oauth2.VerifierOption(begun.Verifier))
	if answered, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		// What it said may have anything in it, and is not logged.
		p.around.Log.Warn("the provider of sign-ins gave no token for a code", slog.Int("status", answered.Response.StatusCode),
			slog.String("error", known(answered.ErrorCode)))
		if answered.ErrorCode == "invalid_grant" {
			return "", nil, refusal("The provider did not accept its own code: it is used, or too old, or of another browser. Try again.")
		}
		return "", nil, errors.New("the provider gave no token for a code")
	}
	if err != nil { // its text may have the code
		p.around.Log.Warn("the provider of sign-ins gave no token for a code")
		return "", nil, errors.New("the provider gave no token for a code")
	}
	raw, _ = got.Extra("id_token").(string)
	if raw == "" || len(raw) > mostToken {
		return "", nil, refusal("The provider sent no ID token that can be used. Ask who runs this console.")
	}
	token, err = f.provider.Verifier(&gooidc.Config{ClientID: p.settings.ClientID, SupportedSigningAlgs: algorithms, Now: p.around.Now}).Verify(ctx, raw)
	if err != nil {
		p.around.Log.Warn("an ID token is not good")
		return "", nil, refusal("The ID token of the provider is not good: it is of another issuer or for another client, has expired, or its signature is wrong. " +
			"Try again, and then ask who runs this console.")
	}
	return raw, token, p.mine(token, begun)
}

// mine checks that a token was issued for this console and for this sign-in.
func (p *Provider) mine(token *gooidc.IDToken, begun flow) error {
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(begun.Nonce)) != 1 {
		return refusal("The ID token is of another sign-in. Try again.")
	}
	var party struct {
		Party string `json:"azp"`
	}
	if err := token.Claims(&party); err != nil || len(token.Audience) > 1 && party.Party != p.settings.ClientID ||
		party.Party != "" && party.Party != p.settings.ClientID {
		return refusal("The ID token is for another program. Ask who runs this console.")
	}
	return nil
}

// person is whom Kubernetes knows by a token that was verified.
func (p *Provider) person(ctx context.Context, raw string, token *gooidc.IDToken) (session.Claims, error) {
	mapping := p.settings.Impersonate
	if mapping == nil {
		of, err := p.around.Verify(ctx, raw)
		if err == nil && (of.Ends.IsZero() || token.Expiry.Before(of.Ends)) {
			of.Ends = token.Expiry
		}
		return of, err
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return session.Claims{}, refusal("The ID token cannot be read. Ask who runs this console.")
	}
	name, groups, err := mapping.Person(ctx, claims)
	if err != nil {
		return session.Claims{}, err
	}
	return session.Claims{Name: name, Groups: groups}, nil
}

// mostLogged is how many bytes of an error are logged.
const mostLogged = 300

// failed logs what failed before anything of a person was there, and returns it.
func (p *Provider) failed(what string, err error) error {
	text := strings.ToValidUTF8(err.Error(), "?")
	if u, ok := errors.AsType[*url.Error](err); ok {
		text = u.Err.Error()
	}
	p.around.Log.Warn(what, slog.String("error", strings.ToValidUTF8(text[:min(len(text), mostLogged)], "")))
	return err
}

// codes are those of RFC 6749 and OpenID Connect, with what they mean to a person.
var codes = map[string]string{
	"access_denied":              "The provider did not let you sign in, or you cancelled it.",
	"login_required":             "The provider asks you to sign in there first.",
	"consent_required":           "The provider asks you to agree first.",
	"interaction_required":       "The provider has to ask you something first.",
	"account_selection_required": "The provider asks you to choose an account first.",
	"temporarily_unavailable":    "The provider is not available at the moment. Try again.",
	"server_error":               "The provider failed. Try again.",
	"invalid_request":            "", "invalid_client": "", "invalid_grant": "", "invalid_scope": "", "unauthorized_client": "", "unsupported_response_type": "",
	"unsupported_grant_type": "",
}

// known is a code that is one of the standards', or "other": who sends it can send anything.
func known(code string) string {
	if _, ok := codes[code]; ok {
		return code
	}
	return "other"
}

// meaning is what a provider's error means to a person. Nothing of what was sent is in it but the codes of the standards.
func meaning(code string) string {
	if text := codes[code]; text != "" {
		return text
	}
	return "The provider refused the console (" + known(code) + "). Ask who runs this console."
}
