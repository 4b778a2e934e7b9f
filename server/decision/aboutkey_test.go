package decision

import (
	"net/netip"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/pkg/urltoken"
)

// TestAboutKey: a key that is accepted anywhere may be asked about, by pages that may present it, also if it is for another project.
func TestAboutKey(t *testing.T) {
	for name, c := range map[string]struct {
		want     Code
		readable bool
		arrange  func(*setup)
	}{
		"no origin":      {Allowed, false, func(*setup) {}},
		"a page":         {Allowed, true, func(s *setup) { s.request.Origin = "https://www.acme.com" }},
		"a foreign page": {OriginDenied, false, func(s *setup) { s.request.Origin = "https://evil.com" }},
		"an opaque page": {OriginDenied, false, func(s *setup) { s.request.Origin = "null" }},
		"another project": {OriginDenied, false, func(s *setup) {
			s.match.Key.Scope.Projects, s.request.Origin = []string{"product"}, "https://www.acme.com"
		}},
		"no permission":                    {Allowed, false, func(s *setup) { s.match.Key.Scope.Permissions = nil }},
		"a trusted project is none of its": {Allowed, false, func(s *setup) { s.request.TrustedProject = "product" }},
		"no origin, browsers only":         {Allowed, false, func(s *setup) { s.match.Group.Projects[1].Origins.AllowMissing = false }},
		"no key":                           {KeyMissing, false, func(s *setup) { s.request.Credential = Credential{} }},
		"no key, a page":                   {KeyMissing, true, func(s *setup) { s.request.Credential, s.request.Origin = Credential{}, "https://www.acme.com" }},
		"no key, foreign":                  {KeyMissing, false, func(s *setup) { s.request.Credential, s.request.Origin = Credential{}, "https://evil.com" }},
		"unknown":                          {KeyUnknown, false, func(s *setup) { s.request.Credential.Digest[1]++ }},
		"revoked":                          {KeyRevoked, false, func(s *setup) { s.match.Version.Revoked = true }},
		"expired":                          {KeyExpired, false, func(s *setup) { s.match.Version.ExpiresAtMillis = 1 }},
		"retired":                          {KeyRetired, false, func(s *setup) { s.match.Version.RetiresAtMillis = 1 }},
		"suspended":                        {KeySuspended, false, func(s *setup) { s.match.Key.Suspended = true }},
		"frozen":                           {GroupFrozen, false, func(s *setup) { s.match.Group.State = Frozen }},
		"not synced":                       {NotSynced, false, func(s *setup) { s.snapshot.health = Unsynced }},
		"a key for servers":                {Allowed, false, func(s *setup) { s.restrict(Scope{Clients: ServerOnly}) }},
		"a key for servers, a page": {ClientDenied, true, func(s *setup) {
			s.restrict(Scope{Clients: ServerOnly})
			s.request.Origin = "https://www.acme.com"
		}},
		"a key for browsers": {Allowed, false, func(s *setup) { s.restrict(Scope{Clients: BrowserOnly}) }},
		"from elsewhere": {AddressDenied, false, func(s *setup) {
			s.restrict(Scope{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
			s.request.Address = netip.MustParseAddr("198.51.100.1")
		}},
		"a signed URL":      {URLDenied, false, func(s *setup) { s.request.claims = &urltoken.Claims{Expires: now.Add(time.Hour)} }},
		"preflight":         {Preflight, true, func(s *setup) { s.request.PreflightMethod, s.request.Origin = "GET", "https://www.acme.com" }},
		"foreign preflight": {OriginDenied, false, func(s *setup) { s.request.PreflightMethod, s.request.Origin = "GET", "https://evil.com" }},
	} {
		snapshot, match := acme(t)
		snapshot.groups = []*Group{match.Group}
		request := &Request{Credential: Credential{Form: WellFormed, Digest: digest}, Method: "GET", Host: "cdn.acme.com", Path: "/v1/key", AboutKey: true}
		c.arrange(&setup{snapshot, match, request})
		snapshot.matches[digest] = *match
		got := Decide(snapshot, request, now)
		if got.Code != c.want || got.OriginAllowed != c.readable || got.Project != nil {
			t.Errorf("%s: %v, readable %v, project %v; want %v, %v", name, got.Code, got.OriginAllowed, got.Project, c.want, c.readable)
		}
	}
}

// restrict replaces who may present the key.
func (s *setup) restrict(to Scope) {
	to.Projects, to.Permissions = s.match.Key.Scope.Projects, s.match.Key.Scope.Permissions
	s.match.Key.Scope = &to
}
