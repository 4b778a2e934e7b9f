package decision

import "github.com/keyward-dev/keyward/internal/decisioncode"

// Code is the outcome of a decision. The table of all codes is in internal/decisioncode. The zero Code is Allowed.
type Code = decisioncode.Code

// The outcomes, in the order in which they are checked for. Rate limits, quotas and TooManyFailures are decided after
// Decide, by server/authorizer.
const (
	Allowed           = decisioncode.Allowed
	NotSynced         = decisioncode.NotSynced
	Stale             = decisioncode.Stale
	PathTooLong       = decisioncode.PathTooLong
	HostInvalid       = decisioncode.HostInvalid
	PathAmbiguous     = decisioncode.PathAmbiguous
	QueryAmbiguous    = decisioncode.QueryAmbiguous
	KeyMissing        = decisioncode.KeyMissing
	KeyMalformed      = decisioncode.KeyMalformed
	URLInvalid        = decisioncode.URLInvalid
	KeyUnknown        = decisioncode.KeyUnknown
	KeyRevoked        = decisioncode.KeyRevoked
	KeyExpired        = decisioncode.KeyExpired
	KeyRetired        = decisioncode.KeyRetired
	KeyLocationDenied = decisioncode.KeyLocationDenied
	URLExpired        = decisioncode.URLExpired
	KeySuspended      = decisioncode.KeySuspended
	GroupFrozen       = decisioncode.GroupFrozen
	GroupSuspended    = decisioncode.GroupSuspended
	AddressUnknown    = decisioncode.AddressUnknown
	AddressDenied     = decisioncode.AddressDenied
	ProjectUnknown    = decisioncode.ProjectUnknown
	ProjectDenied     = decisioncode.ProjectDenied
	URLDenied         = decisioncode.URLDenied
	ClientDenied      = decisioncode.ClientDenied
	OriginMissing     = decisioncode.OriginMissing
	OriginDenied      = decisioncode.OriginDenied
	PermissionDenied  = decisioncode.PermissionDenied
	RateLimited       = decisioncode.RateLimited
	KeyQuotaExceeded  = decisioncode.KeyQuotaExceeded
	QuotaExceeded     = decisioncode.QuotaExceeded
	QuotaUnavailable  = decisioncode.QuotaUnavailable
	TooManyFailures   = decisioncode.TooManyFailures
	Preflight         = decisioncode.Preflight
	Public            = decisioncode.Public
)

// Codes returns every Code, Allowed first.
func Codes() []Code { return decisioncode.All() }
