package adminv1

import "time"

// The admin endpoint of the last decisions, GET with these query parameters, which filter. Each is optional.
const (
	DecisionsPath = "/v1/decisions"

	DecisionsRequestID = "requestId"
	DecisionsKeyID     = "keyId"
	DecisionsCode      = "code"
	DecisionsLimit     = "limit" // 1 to MaxDecisions

	// MaxDecisions is how many decisions one response holds at most.
	MaxDecisions = 1000
)

// Decisions is the response of GET /v1/decisions: the latest decisions first.
type Decisions struct {
	Decisions []Decision `json:"decisions"`
}

// Decision is what a validation server remembers of one decision. It never holds a credential, a path or a query.
type Decision struct {
	Time      time.Time `json:"time"`
	RequestID string    `json:"requestId"`
	// Integration is the name of the integration that made the request, such as reverseproxy.
	Integration string `json:"integration"`
	Code        string `json:"code"`
	// Status is the HTTP status of the code; 200 if the request was allowed.
	Status int    `json:"status"`
	Method string `json:"method,omitempty"`
	Host   string `json:"host,omitempty"`
	// Origin is the origin that was decided on, from the Origin header or else from the Referer.
	Origin string `json:"origin,omitempty"`
	// Group is namespace/name. Group and KeyID are empty if the request had no known key.
	Group   string `json:"group,omitempty"`
	Project string `json:"project,omitempty"`
	KeyID   string `json:"keyId,omitempty"`
	// KeyLocation is where the key was if it was not in a header: query or websocket_protocol; or signed_url if the request had
	// the token of a signed URL instead.
	KeyLocation string `json:"keyLocation,omitempty"`
}
