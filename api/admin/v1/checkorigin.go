package adminv1

// The admin endpoint that says whether a site would be allowed, GET with these query parameters.
const (
	CheckOriginPath = "/v1/check-origin"

	CheckOriginOrigin  = "origin"  // such as https://www.acme.com; of an address, only scheme, host and port count
	CheckOriginProject = "project" // the name of a project
	CheckOriginGroup   = "group"   // namespace/name; without it, all Groups with such a project are checked

	// MaxOriginChecks is how many Groups one response has at most, and MaxNearDomains how many domains that nearly allow
	// the origin.
	MaxOriginChecks = 100
	MaxNearDomains  = 5
)

// OriginChecks is the response of GET /v1/check-origin.
type OriginChecks struct {
	// Origin is the origin as it is compared.
	Origin string `json:"origin"`
	// Checks has an entry for each Group with such a project, sorted by the Groups' names.
	Checks []OriginCheck `json:"checks"`
	// More is how many Groups are left out.
	More int `json:"more,omitempty"`
}

// OriginCheck is the result for one project: may pages of the origin use it, as this server enforces it.
type OriginCheck struct {
	Group   string `json:"group"` // namespace/name
	Project string `json:"project"`
	Allowed bool   `json:"allowed"`
	// Domain is the domain of a DomainAllowlist that allows the origin, in its canonical form.
	Domain string `json:"domain,omitempty"`
	// Localhost is set if the origin is allowed because it is this machine's own.
	Localhost bool `json:"localhost,omitempty"`

	// Domains is how many domains the project allows.
	Domains int `json:"domains"`
	// Near are domains that do not allow the origin, although they look as if they did.
	Near []NearDomain `json:"near,omitempty"`
}

// NearDomain is a domain that nearly allows an origin.
type NearDomain struct {
	Domain string `json:"domain"`
	Reason string `json:"reason"`
}
