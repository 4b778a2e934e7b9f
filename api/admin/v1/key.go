package adminv1

import "time"

// Where the holder of a key asks about it, with the key in a header, as in any other request: at the integrations' HTTP
// port, and below the host of the content, where the reverse proxy answers.
const (
	KeyPath          = "/v1/key"
	KeyWellKnownPath = "/.well-known/keyward/key"
)

// KeyInfo is the response: what the holder of a key may know about it.
type KeyInfo struct {
	// ID is that of the key, in all its versions.
	ID string `json:"id"`
	// Preview is of the version that was presented; empty if the key is not of Keyward's form.
	Preview     string   `json:"preview,omitempty"`
	Projects    []string `json:"projects"`
	Permissions []string `json:"permissions"`
	// ExpiresAt is when this version expires; absent if it does not.
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	// RetiresAt is when this version is refused because there is a newer one. Hint says what to do.
	RetiresAt *time.Time `json:"retiresAt,omitempty"`
	Hint      string     `json:"hint,omitempty"`
	// Limits are the rate limits that apply to the key.
	Limits []KeyLimit `json:"limits,omitempty"`
	// Quota is the key's own, beside that of its Group; absent if it has none.
	Quota *KeyQuota `json:"quota,omitempty"`
}

// KeyQuota is the quota of requests of one key. Requests and Left are absent while this server does not know them.
type KeyQuota struct {
	// Requests is how many requests the key may use in the running period.
	Requests *uint64 `json:"requests,omitempty"`
	// Left is how many of them are left, as far as is known: requests on other servers may have been reported later.
	Left *uint64 `json:"left,omitempty"`
	// ResetsAt is when the period ends.
	ResetsAt time.Time `json:"resetsAt"`
}

// KeyLimit is one rate limit.
type KeyLimit struct {
	// Policy is "key" for a limit of this key alone, and "group" for one of all keys of its Group together.
	Policy    string `json:"policy"`
	PerSecond uint32 `json:"perSecond"`
	Burst     uint32 `json:"burst"`
	// Left is how many requests this server would allow at once.
	Left uint32 `json:"left"`
}
