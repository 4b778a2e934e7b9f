package decision

import (
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
)

// PermissionRead is the built-in permission: GET and HEAD everywhere in the key's projects.
const PermissionRead = "read"

// Version is one minted credential of a key. Instants are Unix milliseconds; 0 is never.
type Version struct {
	ExpiresAtMillis int64 // from this instant on it is expired
	RetiresAtMillis int64 // from this instant on it is replaced by its successor
	Revoked         bool
}

// Key is one consumer's right to read. Its zero value is none.
type Key struct {
	ID        string // never empty
	Scope     *Scope // never nil, and never changes; shared by keys with the same scope
	Suspended bool
	Rate      RateLimit // of this key alone
}

// Scope is what a key may do, and where.
type Scope struct {
	Projects    []string
	Permissions []string
}

// State is the state of a group.
type State uint8

// The states of a group. The zero State is Suspended: what is not known to be active, is not.
const (
	Suspended State = iota
	Active
	Frozen
)

// Group is whose content it is, compiled for decisions.
type Group struct {
	Identity     string // namespace/name
	DisplayName  string
	Tier         string // that its limits are from; empty where it has none
	State        State
	Projects     []Project // sorted by name
	Capabilities []Capability
	Context      []ContextValue // sorted by name
	Limits       Limits
	// SharedCaching lets shared caches keep answers, as the content server says.
	SharedCaching bool
}

// RateLimit bounds how fast requests are let through, by all validation servers together. The
// zero RateLimit is none.
type RateLimit struct {
	PerSecond uint32
	Burst     uint32 // requests that may come at once
}

// IsSet tells whether there is a limit.
func (l RateLimit) IsSet() bool { return l.PerSecond > 0 }

// Limits say which limits a group has. What is used of them is not known here.
type Limits struct {
	// Rate is of all keys of the group together.
	Rate RateLimit

	// RequestQuota is whether requests are counted against a quota, ByteQuota whether the
	// bytes of responses are.
	RequestQuota, ByteQuota bool
	// Metered is whether what goes beyond a quota is let through.
	Metered bool
	// DenyUnknown is whether requests are refused while it is not known what is left.
	DenyUnknown bool
}

// ContextValue is injected upstream on allow.
type ContextValue struct {
	Name, Value string
	// Header is the name of the header that has it, where that was worked out beforehand.
	Header string
}

// Project is a part of a group's content.
type Project struct {
	Name    string
	OwnsAll bool // every request that no route claims
	Routes  []routing.Matcher
	Origins Origins
}

// projectWork is what it takes to fetch a project from memory.
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

func (o *Origins) allow(from origin.Origin) bool {
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
}

func (c *Capability) covers(request *routing.Request) bool {
	for i := range c.Routes {
		if c.Routes[i].Grants(request) {
			return true
		}
	}
	return false
}
