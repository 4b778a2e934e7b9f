package decision

import (
	"net/netip"

	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/routing"
)

// PermissionRead is the built-in permission: GET and HEAD everywhere in the key's projects.
const PermissionRead = "read"

// Version is one minted credential of a key. Instants are Unix milliseconds; 0 is never.
type Version struct {
	ExpiresAtMillis int64 // from this instant on it is expired
	RetiresAtMillis int64 // from this instant on its successor replaces it
	Revoked         bool
}

// Key is one consumer's right to read. Its zero value is no key.
type Key struct {
	ID        string // never empty
	Scope     *Scope // never nil, and never changes; shared by keys with the same scope
	Suspended bool
	Rate      RateLimit // of this key alone
}

// QuotaOwner returns the id of a key that has a quota of its own, and otherwise nothing.
func (k *Key) QuotaOwner() string {
	if k.Scope == nil || !k.Scope.Quota {
		return ""
	}
	return k.ID
}

// Scope is the permissions of a key, the projects that they are for, the clients that have them, what the upstream gets in
// addition, and whether the key has a quota of its own.
type Scope struct {
	Projects    []string
	Permissions []string
	// Clients are who may present the key, and Addresses from where; none are all.
	Clients   Clients
	Addresses []netip.Prefix // masked, and none of them IPv4-mapped
	Context   []ContextValue // laid over the group's; sorted by name
	// Quota is set if the key has a quota of requests of its own, in addition to the group's.
	Quota bool
}

// State is the state of a group.
type State uint8

// The states of a group. The zero State is Suspended: a group that is not known to be active is not.
const (
	Suspended State = iota
	Active
	Frozen
)

// Group is the tenant that owns the content, compiled for decisions.
type Group struct {
	Identity     string // namespace/name
	DisplayName  string
	Tier         string // whose limits it has; empty if it has none
	State        State
	Projects     []Project // sorted by name
	Capabilities []Capability
	// Weighted is set if the cost of a capability is not 1.
	Weighted bool
	Context  []ContextValue // sorted by name
	Sealed   []ContextValue // sorted by name; only content servers can read the values
	Limits   Limits
	// AcceptIn is where keys may be.
	AcceptIn Locations
	// SharedCaching allows shared caches to keep responses, as the content server declares.
	SharedCaching bool
	// RequireAddresses denies keys without Addresses.
	RequireAddresses bool
	// HasPublic is set if a project has public paths.
	HasPublic bool
}

// RateLimit bounds how fast requests are allowed, by all validation servers together. The zero RateLimit is none.
type RateLimit struct {
	PerSecond uint32
	Burst     uint32 // requests that may arrive at once
}

// IsSet reports whether there is a limit.
func (l RateLimit) IsSet() bool { return l.PerSecond > 0 }

// Limits are the limits of a group. How much of them is used is not known here.
type Limits struct {
	// Rate is the rate limit of all keys of the group together.
	Rate RateLimit

	// RequestQuota is set if there is a quota of requests, ByteQuota if there is one of the bytes of responses.
	RequestQuota, ByteQuota bool
	// Metered is set if requests beyond a quota are allowed.
	Metered bool
	// DenyUnknown is set if requests are denied while it is not known what is left of a quota.
	DenyUnknown bool
	// Schedule says when the periods of the quotas begin.
	Schedule quotaledger.Schedule
}

// ContextValue is injected upstream on allow.
type ContextValue struct {
	Name, Value string
	// Header is the name of the header that has it, if it was computed beforehand.
	Header string
}

// Project is a part of a group's content.
type Project struct {
	Name    string
	OwnsAll bool // every request that no route matches
	Routes  []routing.Matcher
	Origins Origins
	// Public is what needs no key: requests that the project owns and one of these covers.
	Public []routing.Matcher
}

// projectWork is the work of fetching a project from memory.
const projectWork = 8

// owns returns the rank of the project's best route for the request.
func (p *Project) owns(request *routing.Request) (routing.Rank, bool) {
	request.Spend(projectWork)
	best, owns := routing.Rank{}, p.OwnsAll
	for i := range p.Routes {
		if rank, ok := p.Routes[i].Match(request); ok && (!owns || rank.Compare(best) > 0) {
			best, owns = rank, true
		}
		if request.Exhausted() {
			break
		}
	}
	return best, owns
}

// Origins is the sum of a project's allowlists.
type Origins struct {
	Patterns []origin.Pattern
	// Shared are patterns that several projects of the group allow; they share the memory.
	Shared         [][]origin.Pattern
	AllowLocalhost bool
	AllowMissing   bool // requests with neither Origin nor Referer
}

// Allows reports whether the origin may present keys of the project.
func (o *Origins) Allows(from origin.Origin) bool {
	if o.AllowLocalhost && from.IsLocalhost() {
		return true
	}
	if matches(o.Patterns, from) {
		return true
	}
	for _, patterns := range o.Shared {
		if matches(patterns, from) {
			return true
		}
	}
	return false
}

func matches(patterns []origin.Pattern, from origin.Origin) bool {
	for i := range patterns {
		if patterns[i].Matches(from) {
			return true
		}
	}
	return false
}

// work is what it takes to look an origin up.
func (o *Origins) work() int {
	work := len(o.Patterns)
	for _, patterns := range o.Shared {
		work += len(patterns)
	}
	return work
}

// Capability is a named permission beyond read.
type Capability struct {
	Name   string
	Routes []routing.Matcher
	// Cost is how many requests a request counts as that a route matches.
	Cost uint32
}

func (c *Capability) covers(request *routing.Request) bool {
	for i := range c.Routes {
		if c.Routes[i].Grants(request) {
			return true
		}
	}
	return false
}
