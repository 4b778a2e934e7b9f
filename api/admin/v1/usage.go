package adminv1

import (
	"encoding/json"
	"time"
)

// The admin endpoint of usage. POST adds a list of UsageEntry to what was used, all of it or nothing. GET, with these query
// parameters, returns a KeyUsages; exactly one of group and key is required.
const (
	UsagePath = "/v1/usage"

	UsageGroup = "group" // namespace/name
	UsageKey   = "key"   // the id of a key
	UsageLimit = "limit" // 1 to MaxUsages

	// MaxUsages is how many keys one response of GET holds at most.
	MaxUsages = 1000
	// MaxUsageEntries is how many entries one POST adds at most.
	MaxUsageEntries = 10_000
	// MaxUsageAmount is how many requests, and how many bytes, one entry adds at most, so that sums stay in range.
	MaxUsageAmount = 1 << 40
)

// UsageEntry is use that no integration of the server saw. Either Group or Key is required.
type UsageEntry struct {
	Group string `json:"group,omitempty"` // namespace/name
	Key   string `json:"key,omitempty"`   // the id of a key
	// Requests and Bytes are whole numbers from 0 to MaxUsageAmount. They are kept as they are written, so that the
	// server can name the field that holds anything else.
	Requests json.Number `json:"requests,omitempty"`
	Bytes    json.Number `json:"bytes,omitempty"`
}

// KeyUsages is the response of GET /v1/usage.
type KeyUsages struct {
	// Keys are the keys with the most requests, the busiest first.
	Keys []KeyUsage `json:"keys"`
	// Total is how many keys were used, of which Keys may be only some.
	Total int `json:"total"`
}

// KeyUsage is the use of one key, as one validation server has seen it since it was started.
type KeyUsage struct {
	KeyID string `json:"keyId"`
	Group string `json:"group"` // namespace/name
	// Period is the month that Requests are of, such as 2026-11. Requests of earlier months, and those that other servers
	// have seen, are not among them.
	Period     string    `json:"period"`
	Requests   uint64    `json:"requests"`
	LastUsedAt time.Time `json:"lastUsedAt"`
	// Origins are the eight origins that the key was used from most since the server was started, the busiest first.
	Origins []OriginUsage `json:"origins"`
}

// OriginUsage is the use of a key from one origin.
type OriginUsage struct {
	Origin   string `json:"origin"`
	Requests uint64 `json:"requests"`
	// Error is by how much Requests may be too high.
	Error uint64 `json:"error,omitempty"`
}
