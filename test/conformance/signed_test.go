package conformance

import (
	"strings"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/decision"
)

// signing is a signed URL in a table.
type signing struct {
	key    string // whose name
	claims urltoken.Claims
	change func(token string) string // after it is signed
}

// sign adds the token to the target. No content server must see it.
func (s signing) sign(e *testRequest, keys keyring) {
	claims := s.claims
	if claims.Project == "" {
		claims.Project = "marketing"
	}
	if claims.Path == "" {
		claims.Path = "/api/scenes/"
	}
	if claims.Expires.IsZero() {
		claims.Expires = now.Add(time.Hour)
	}
	token, err := urltoken.Sign(keys[s.key].Reveal(), claims)
	if err != nil {
		panic(err) // the table is wrong
	}
	if s.change != nil {
		token = s.change(token)
	}
	separator := "?"
	if strings.Contains(e.target, "?") {
		separator = "&"
	}
	e.arrives, e.secrets = e.target, append(e.secrets, urltoken.Parameter)
	e.target += separator + urltoken.Parameter + "=" + token
}

// addSigners adds keys that sign URLs.
func addSigners(t testing.TB, keys keyring, add func(name, group string, projects, permissions []string) *syncv1.Key) {
	t.Helper()
	const acme = "tenants/acme"
	signer := func(name string, projects, permissions []string, change func(*syncv1.Key)) {
		key := add(name, acme, projects, permissions)
		secret, err := urltoken.Derive(keys[name].Reveal())
		if err != nil {
			t.Fatal(err)
		}
		key.Versions[0].UrlSecret = secret
		change(key)
	}
	marketing, read := []string{"marketing"}, []string{"read"}
	signer("signer", marketing, read, func(*syncv1.Key) {})
	signer("signer of both", []string{"marketing", "product"}, []string{"read", "checkout"}, func(*syncv1.Key) {})
	signer("signer, a server", marketing, read, func(k *syncv1.Key) { k.Clients = syncv1.Clients_CLIENTS_SERVER })
	signer("signer, revoked", marketing, read, func(k *syncv1.Key) { k.Versions[0].Revoked = true })
	signer("signer, expired", marketing, read, func(k *syncv1.Key) { k.Versions[0].ExpiresAtMs = now.UnixMilli() })
	signer("signer, retired", marketing, read, func(k *syncv1.Key) { k.Versions[0].RetiresAtMs = now.UnixMilli() })
	signer("signer, suspended", marketing, read, func(k *syncv1.Key) { k.Suspended = true })
	signer("signer, office", marketing, read, func(k *syncv1.Key) { k.Addresses = []string{"198.51.100.0/25"} })
}

func changed(change func(string) string) signing { return signing{key: "signer", change: change} }

func signedBy(key string) signing { return signing{key: key} }

func claiming(claims urltoken.Claims) signing { return signing{key: "signer of both", claims: claims} }

// signedTable is about signed URLs.
var signedTable = []testCase{
	{name: "signed", guards: "a page without a key that cannot show what it was given", signed: signedBy("signer"), key: "signer",
		owner: "marketing"},
	{name: "signed, beside parameters", guards: "parameters of the content server that get lost with the token",
		request: "- - /api/list?siteId=42&a=%20", signed: signing{key: "signer", claims: urltoken.Claims{Path: "/api/list"}}, except: "aws",
		key: "signer", owner: "marketing"},
	{name: "signed, HEAD", guards: "players that ask for the size first", request: "HEAD - -", signed: signedBy("signer"), key: "signer",
		owner: "marketing"},
	{name: "signed by a key for servers, for a page", guards: "servers that could not sign for pages", signed: signedBy("signer, a server"),
		headers: []string{"Origin: " + acmePage}, readable: acmePage, key: "signer, a server", owner: "marketing"},
	{name: "signed, with another scheme's Authorization", guards: "a content server's own authentication beside a signed URL",
		headers: []string{"Authorization: Basic dTpw"}, signed: signedBy("signer"), key: "signer", owner: "marketing",
		upstream: []string{"Authorization: Basic dTpw"}},
	{name: "signed, beside a session", guards: "apps with sessions of their own, which lose either the session or the signed URL",
		headers: []string{"Authorization: Bearer " + sessionJWT}, signed: signedBy("signer"), key: "signer", owner: "marketing",
		upstream: []string{"Authorization: Bearer " + sessionJWT}},
	{name: "signed, for writing", guards: "a URL that was signed for writing and only reads", request: "POST - /tenant/checkout/sessions",
		signed: claiming(urltoken.Claims{Path: "/tenant/checkout/sessions", Methods: []string{"POST"}}), key: "signer of both", owner: "marketing"},

	{name: "signed by a key that does not sign", guards: "every key signing, though its owner never allowed it", signed: signedBy("good"),
		want: decision.URLInvalid},
	{name: "signed by a key that is not known", guards: "anybody with a key of the right form signing", signed: signedBy("unknown"),
		want: decision.URLInvalid},
	{name: "signed, cut off", guards: "a signature compared by its beginning", want: decision.URLInvalid,
		signed: changed(func(token string) string { return token[:len(token)-1] })},
	{name: "signed, and more", guards: "a token with anything behind it", want: decision.URLInvalid,
		signed: changed(func(token string) string { return token + "A" })},
	{name: "signed, changed", guards: "claims that the client has changed", want: decision.URLInvalid,
		signed: changed(func(token string) string { return token[:60] + string(token[60]^1) + token[61:] })},
	{name: "signed, empty", guards: "an empty token taken for none", want: decision.URLInvalid,
		signed: changed(func(string) string { return "" })},
	{name: "signed, twice", guards: "two readers of which each takes another token", except: "awsauthorizer, 1.0", want: decision.URLInvalid,
		signed: changed(func(token string) string { return token + "&" + urltoken.Parameter + "=" + token })},
	{name: "signed, and a key", guards: "two credentials, of which each reader takes another", headers: bearer("good"),
		signed: signedBy("signer"), want: decision.KeyMalformed},
	{name: "signed, in another spelling", guards: "parameters whose names fold to the one that is removed",
		request: "- - /api/scenes/mkt-1?Keyward-Token=x", want: decision.KeyMissing},

	{name: "signed by a revoked key", guards: "a URL that outlives a revocation", signed: signedBy("signer, revoked"), want: decision.KeyRevoked},
	{name: "signed by an expired key", guards: "a URL that outlives its key", signed: signedBy("signer, expired"), want: decision.KeyExpired},
	{name: "signed by a retired key", guards: "a URL that outlives a rotation", signed: signedBy("signer, retired"), want: decision.KeyRetired},
	{name: "signed by a suspended key", guards: "a URL that works while its key does not", signed: signedBy("signer, suspended"),
		want: decision.KeySuspended},
	{name: "signed, and elsewhere", guards: "addresses of a key that a signed URL gets around", signed: signedBy("signer, office"),
		client: "198.51.101.1", want: decision.AddressDenied},
	{name: "signed, and expired", guards: "URLs that are good for ever", signed: claiming(urltoken.Claims{Expires: now}), want: decision.URLExpired},
	{name: "signed, for a second more", guards: "clocks that are believed to be wrong", key: "signer of both", owner: "marketing",
		signed: claiming(urltoken.Claims{Expires: now.Add(time.Second)})},
	{name: "signed, for a day", guards: "the longest life refused", signed: claiming(urltoken.Claims{Expires: now.Add(24 * time.Hour)}),
		key: "signer of both", owner: "marketing"},
	{name: "signed, for longer than a day", guards: "URLs that become keys", want: decision.URLDenied,
		signed: claiming(urltoken.Claims{Expires: now.Add(24*time.Hour + time.Second)})},

	{name: "signed, for another path", guards: "a URL for one file that reads all", want: decision.URLDenied,
		signed: claiming(urltoken.Claims{Path: "/api/scenes/mkt-2"})},
	{name: "signed, for the beginning of a name", guards: "a path compared by its letters", want: decision.URLDenied,
		signed: claiming(urltoken.Claims{Path: "/api/scenes/mkt"})},
	{name: "signed, for exactly the path", guards: "a path that is only a prefix", signed: claiming(urltoken.Claims{Path: "/api/scenes/mkt-1"}),
		key: "signer of both", owner: "marketing"},
	{name: "signed, for everything", guards: "the root that matches nothing", signed: claiming(urltoken.Claims{Path: "/"}),
		key: "signer of both", owner: "marketing"},
	{name: "signed, and dot segments", guards: "a path below the signed one that leads out of it",
		request: "- - /api/scenes/x/../../secret", signed: signedBy("signer"), want: decision.PathAmbiguous},
	{name: "signed, encoded", guards: "an encoded path that is not the signed one", request: "- - /api/%73cenes/mkt-1", except: "aws",
		signed: signedBy("signer"), key: "signer", owner: "marketing"},
	{name: "signed for a path that can be read in two ways", guards: "a signed path that means another one", want: decision.URLDenied,
		signed: claiming(urltoken.Claims{Path: "/api/x/../scenes/"})},
	{name: "signed, for another project of the key", guards: "a URL for one project that reads another",
		request: "- - /api/scenes/prd-1", signed: claiming(urltoken.Claims{}), want: decision.URLDenied},
	{name: "signed, for a project that the key is not for", guards: "a signature that widens its key",
		request: "- - /api/scenes/prd-1", signed: signing{key: "signer", claims: urltoken.Claims{Project: "product"}}, want: decision.ProjectDenied},
	{name: "signed for reading, and writes", guards: "a URL for reading that writes", request: "POST - /tenant/checkout/sessions",
		signed: claiming(urltoken.Claims{Path: "/"}), want: decision.URLDenied},
	{name: "signed for writing, by a key that reads", guards: "a method that the key does not permit", request: "POST - -",
		signed: signing{key: "signer", claims: urltoken.Claims{Methods: []string{"POST"}}}, want: decision.PermissionDenied},
	{name: "signed, for an origin", guards: "a page that may not use what was signed for it", key: "signer of both", owner: "marketing",
		headers: []string{"Origin: HTTPS://WWW.acme.example:443"}, readable: "HTTPS://WWW.acme.example:443",
		signed: claiming(urltoken.Claims{Origin: acmePage})},
	{name: "signed, for an origin, by Referer", guards: "images, for which browsers send no Origin, in a page that was meant",
		headers: []string{"Referer: " + acmePage + "/x"}, signed: claiming(urltoken.Claims{Origin: acmePage}), key: "signer of both", owner: "marketing"},
	{name: "signed, for another origin", guards: "a URL that was copied into another page of the project", want: decision.URLDenied,
		headers: []string{"Origin: https://a.shops.acme.example"}, readable: "https://a.shops.acme.example",
		signed: claiming(urltoken.Claims{Origin: acmePage})},
	{name: "signed, for an origin, and none", guards: "a URL that was copied out of a page", want: decision.URLDenied,
		signed: claiming(urltoken.Claims{Origin: acmePage})},
	{name: "signed, and a foreign origin", guards: "allowlists that a signed URL gets around", want: decision.OriginDenied,
		headers: []string{"Origin: https://evil.example"}, signed: claiming(urltoken.Claims{})},
	{name: "signed, guessed without end", guards: "guessing signatures without end", client: failingIPv4, world: worldFailed,
		signed: changed(func(token string) string { return token + "A" }), want: decision.TooManyFailures},
}
