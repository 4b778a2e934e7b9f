// Package verify is the integration for applications that ask themselves: POST /v1/verify with the facts of a request
// as JSON returns a verdict as JSON.
package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
)

const (
	integrationName = "verifyapi"

	// maxBody bounds the request, in bytes.
	maxBody = 64 << 10
)

// Verdict is the response. Status is an HTTP status, 200 if the request is allowed.
type Verdict struct {
	Allowed bool              `json:"allowed"`
	Code    string            `json:"code"`
	Status  int               `json:"status"`
	Title   string            `json:"title,omitempty"`
	Detail  string            `json:"detail,omitempty"`
	Group   string            `json:"group,omitempty"`
	Project string            `json:"project,omitempty"`
	KeyID   string            `json:"keyId,omitempty"`
	Headers map[string]string `json:"headers,omitempty"` // for an upstream; see package httpapi

	// RetryAfter is the number of seconds after which another attempt makes sense.
	RetryAfter int `json:"retryAfter,omitempty"`
	// ResponseHeaders let a page read any response, and report the state of rate limits; see package httpapi.
	ResponseHeaders map[string]string `json:"responseHeaders,omitempty"`
	// RequestID is for logs, the upstream and the client.
	RequestID string `json:"requestId"`
}

// Register adds POST /v1/verify to a mux.
func Register(mux *http.ServeMux, auth *authorizer.Authorizer, clients *clientaddr.Resolver) {
	mux.Handle("POST /v1/verify", &handler{auth.Integration(integrationName), clients})
}

type handler struct {
	integration *authorizer.Integration
	clients     *clientaddr.Resolver
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := decode(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.Header().Set(httpapi.HeaderRequestID, httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...))
		refuse(w, err)
		return
	}
	if peer := clientaddr.Peer(r.RemoteAddr); !h.clients.Trusts(peer) || h.clients.Trusts(request.Client) {
		request.Client = netip.Addr{} // as in all integrations: it is unknown, and failures are not counted
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if request.ID == "" {
		request.ID = httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...)
	}
	w.Header().Set(httpapi.HeaderRequestID, request.ID)
	result := h.integration.Decide(r.Context(), &request)
	verdict := newVerdict(result)
	verdict.RequestID = request.ID
	verdict.ResponseHeaders = map[string]string{httpapi.HeaderVary: httpapi.Vary(&request.Request)}
	if caching := httpapi.CacheControl(result.Decision); caching != "" {
		verdict.ResponseHeaders["Cache-Control"] = caching
	}
	for _, header := range append(httpapi.CORS(result.Decision, &request.Request), httpapi.RateLimit(result.Rates)...) {
		verdict.ResponseHeaders[header.Name] = header.Value
	}
	_ = json.NewEncoder(w).Encode(verdict) // a client that has gone needs no response
}

func newVerdict(d authorizer.Result) Verdict {
	verdict := Verdict{Allowed: d.Allowed(), Code: d.Code.String(), Status: d.Code.Status()}
	if !d.Allowed() {
		verdict.Title, verdict.Detail = d.Code.Title(), d.Code.Detail()
		verdict.RetryAfter = httpapi.RetrySeconds(d.RetryAfter)
		return verdict
	}
	verdict.Group, verdict.Project, verdict.KeyID = d.Group.Identity, d.Project.Name, d.Key.ID
	verdict.Headers = map[string]string{}
	for _, h := range httpapi.ContextHeaders(d.Decision) {
		verdict.Headers[h.Name] = h.Value
	}
	return verdict
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		status = http.StatusRequestEntityTooLarge
		err = fmt.Errorf("the body is larger than %d bytes", tooLarge.Limit)
	}
	httpapi.NewProblem(status, "request_invalid", "Request not understood", err.Error()).Denial().Write(w)
}

// verifyRequest is the body as it was sent. The value itself is never logged or kept.
type verifyRequest struct {
	Key     *secret            `json:"key"`
	Headers map[string]secrets `json:"headers"`

	Method string `json:"method"`
	URL    string `json:"url"`
	Host   string `json:"host"`
	Path   string `json:"path"`
	Query  string `json:"query"`

	Origin  string `json:"origin"`
	Referer string `json:"referer"`
	Project string `json:"project"`

	// ClientAddress is the address that the request comes from, as the application reports it. It is used if the
	// application is trusted.
	ClientAddress string `json:"clientAddress"`
	// RequestID is the id of the request that is verified, if it has one.
	RequestID string `json:"requestId"`
}

// secret is text that may be a key. It is in a closure for the same reason as in a keyformat.Key: printing it shows an
// address.
type secret struct{ reveal func() string }

// UnmarshalJSON reads a string.
func (s *secret) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("it must be a string")
	}
	s.reveal = func() string { return text }
	return nil
}

// secrets are the lines of one header: a string, or a list of strings.
type secrets []secret

// UnmarshalJSON reads a string or a list of strings.
func (s *secrets) UnmarshalJSON(data []byte) error {
	if strings.HasPrefix(string(data), "[") {
		return json.Unmarshal(data, (*[]secret)(s))
	}
	var one secret
	if err := json.Unmarshal(data, &one); err != nil {
		return errors.New("it must be a string or a list of strings")
	}
	*s = secrets{one}
	return nil
}

// decode reads one request and nothing else. Its errors name the field and contain no value.
func decode(body io.Reader) (authorizer.Request, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return authorizer.Request{}, explain(err)
	}
	if err := checkNames(text); err != nil {
		return authorizer.Request{}, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var q verifyRequest
	if err := decoder.Decode(&q); err != nil {
		return authorizer.Request{}, explain(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return authorizer.Request{}, errors.New("the body must be one JSON object with nothing after it")
	}
	return q.request()
}

// explain replaces a decoding error by one that quotes no value.
func explain(err error) error {
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		return err
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Errorf("%s: it must be a %s, not a %s", wrongType.Field, wrongType.Type.Kind(), strings.Fields(wrongType.Value)[0])
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		// The error does not quote the name, which may be a misplaced key.
		return errUnknownField
	case strings.HasPrefix(err.Error(), "it must be"):
		return fmt.Errorf("key, headers: %w", err)
	default:
		return errors.New("the body must be one JSON object")
	}
}
