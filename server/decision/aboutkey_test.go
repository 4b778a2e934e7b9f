package decision

import "testing"

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
		"preflight":                        {Preflight, true, func(s *setup) { s.request.PreflightMethod, s.request.Origin = "GET", "https://www.acme.com" }},
		"foreign preflight":                {OriginDenied, false, func(s *setup) { s.request.PreflightMethod, s.request.Origin = "GET", "https://evil.com" }},
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
