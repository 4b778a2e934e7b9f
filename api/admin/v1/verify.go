package adminv1

import (
	"encoding/json"
	"errors"
	"strings"
)

// VerifyPath is the endpoint of the verify integration: POST a VerifyRequest, and read a Verdict.
const VerifyPath = "/v1/verify"

// VerifyRequest is the facts of a request that an application asks about. The method and a target are required: either URL,
// or Path with Host and Query.
type VerifyRequest struct {
	// Key is the key alone; otherwise it is in Headers, as the client sent it.
	Key *Secret `json:"key,omitempty"`
	// Headers are those of the client that matter for a decision; the server names them in its refusal of any other.
	Headers map[string]Secrets `json:"headers,omitempty"`

	Method string `json:"method,omitempty"`
	URL    string `json:"url,omitempty"`
	Host   string `json:"host,omitempty"`
	Path   string `json:"path,omitempty"`
	Query  string `json:"query,omitempty"`

	// Origin and Referer are short for the headers of those names.
	Origin  string `json:"origin,omitempty"`
	Referer string `json:"referer,omitempty"`
	// Project is the project that the application knows the request to be for.
	Project string `json:"project,omitempty"`

	// Cost is how many requests of the quota this one counts as, 0 to 1000, in place of what the routes of the Group's
	// capabilities say. Only an application that the server trusts (--trusted-proxies) may set it.
	Cost *int `json:"cost,omitempty"`

	// ClientAddress is the IP address that the request comes from. The server believes it if it trusts the application
	// (--trusted-proxies).
	ClientAddress string `json:"clientAddress,omitempty"`
	// RequestID is that of the request in question, if it has one.
	RequestID string `json:"requestId,omitempty"`
}

// Verdict is the response of POST /v1/verify.
type Verdict struct {
	Allowed bool   `json:"allowed"`
	Code    string `json:"code"`
	// Status is the HTTP status to answer the client with; 200 if the request is allowed.
	Status int    `json:"status"`
	Title  string `json:"title,omitempty"`
	Detail string `json:"detail,omitempty"`

	// Group (namespace/name), Project, KeyID and Headers are set if the request is allowed. Headers are for an upstream,
	// the X-Keyward-… headers that all integrations set.
	Group   string            `json:"group,omitempty"`
	Project string            `json:"project,omitempty"`
	KeyID   string            `json:"keyId,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`

	// RetryAfter is after how many seconds another attempt makes sense; 0 if that is not known.
	RetryAfter int `json:"retryAfter,omitempty"`
	// ResponseHeaders are for the response to the client, allowed or not: those of CORS, which let a page read the response,
	// those that say how long it may be cached, and those that report the status of rate limits.
	ResponseHeaders map[string]string `json:"responseHeaders,omitempty"`
	// RequestID is for logs, the upstream and the client.
	RequestID string `json:"requestId"`
}

// RevealJSON encodes the request with its secrets, to send it. Package encoding/json alone leaves them out.
func (r VerifyRequest) RevealJSON() ([]byte, error) {
	type facts VerifyRequest
	revealed := struct {
		Key     *string             `json:"key,omitempty"`
		Headers map[string][]string `json:"headers,omitempty"`
		facts
	}{facts: facts(r)}
	if r.Key != nil {
		key := r.Key.Reveal()
		revealed.Key = &key
	}
	for name, lines := range r.Headers {
		if revealed.Headers == nil {
			revealed.Headers = map[string][]string{}
		}
		for _, line := range lines {
			revealed.Headers[name] = append(revealed.Headers[name], line.Reveal())
		}
	}
	return json.Marshal(revealed)
}

// Secret is text that may be a key. Printing or encoding it shows the address of a function, or nothing, as with a
// keyformat.Key.
type Secret struct{ reveal func() string }

// NewSecret returns the text as a Secret.
func NewSecret(text string) Secret { return Secret{func() string { return text }} }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// UnmarshalJSON reads a string. Its error holds no part of the data.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("it must be a string")
	}
	*s = NewSecret(text)
	return nil
}

// Secrets are the lines of one header: in JSON a string, or a list of strings.
type Secrets []Secret

// UnmarshalJSON reads a string or a list of strings.
func (s *Secrets) UnmarshalJSON(data []byte) error {
	if strings.HasPrefix(string(data), "[") {
		return json.Unmarshal(data, (*[]Secret)(s))
	}
	var one Secret
	if err := json.Unmarshal(data, &one); err != nil {
		return errors.New("it must be a string or a list of strings")
	}
	*s = Secrets{one}
	return nil
}
