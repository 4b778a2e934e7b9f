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
	"slices"
	"strings"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	integrationName = "verifyapi"

	// maxBody bounds the request, in bytes.
	maxBody = 64 << 10
)

// Register adds POST /v1/verify to a mux.
func Register(mux *http.ServeMux, auth *authorizer.Authorizer, clients *clientaddr.Resolver) {
	mux.Handle("POST "+adminv1.VerifyPath, &handler{auth.Integration(integrationName), clients})
}

type handler struct {
	integration *authorizer.Integration
	clients     *clientaddr.Resolver
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := decode(http.MaxBytesReader(w, r.Body, maxBody), h.integration.Keys())
	if err != nil {
		w.Header().Set(httpapi.HeaderRequestID, httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...))
		refuse(w, err)
		return
	}
	peer := clientaddr.Peer(r.RemoteAddr)
	if request.HasCost && !h.clients.Trusts(peer) {
		w.Header().Set(httpapi.HeaderRequestID, httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...))
		refuse(w, errUntrustedCost)
		return
	}
	if !h.clients.Trusts(peer) || h.clients.Trusts(request.Client) {
		request.Client = netip.Addr{} // as in all integrations: it is unknown, and failures are not counted
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if request.ID == "" {
		request.ID = httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...)
	}
	w.Header().Set(httpapi.HeaderRequestID, request.ID)
	request.Trace.Headers = r.Header // the app's own trace
	result := h.integration.Decide(r.Context(), &request)
	verdict := newVerdict(result, &request.Request, h.integration.Principal(&result.Decision, request.ID))
	verdict.RequestID = request.ID
	verdict.ResponseHeaders = map[string]string{httpapi.HeaderVary: httpapi.Vary(&request.Request)}
	if caching := httpapi.CacheControl(result.Decision); caching != "" {
		verdict.ResponseHeaders["Cache-Control"] = caching
	}
	if request.Location.InURL() {
		verdict.ResponseHeaders[httpapi.ReferrerPolicy.Name] = httpapi.ReferrerPolicy.Value
	}
	for _, header := range slices.Concat(httpapi.CORS(result.Decision, &request.Request), httpapi.RateLimit(result.Rates),
		httpapi.Retirement(result.Decision, h.integration.Now)) {
		verdict.ResponseHeaders[header.Name] = header.Value
	}
	_ = json.NewEncoder(w).Encode(verdict) // a client that has gone needs no response
}

func newVerdict(d authorizer.Result, request *decision.Request, principal string) adminv1.Verdict {
	verdict := adminv1.Verdict{Allowed: d.Allowed(), Code: d.Code.String(), Status: d.Code.Status()}
	if !d.Allowed() {
		verdict.Title, verdict.Detail = d.Code.Title(), d.Code.DetailFor(request.FetchSite)
		verdict.RetryAfter = httpapi.RetrySeconds(d.RetryAfter)
		return verdict
	}
	verdict.Group, verdict.Project, verdict.KeyID = d.Group.Identity, d.Project.Name, d.Key.ID
	verdict.Headers = map[string]string{}
	for _, h := range httpapi.ContextHeaders(d.Decision, principal) {
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

// verifyRequest is the body as sent. Its strings are taken apart by request and target; the
// value itself is never logged or kept.
type verifyRequest adminv1.VerifyRequest

// decode reads one request and nothing else. Its errors name the field and contain no value.
func decode(body io.Reader, keys *credential.Locations) (authorizer.Request, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return authorizer.Request{}, explain(err)
	}
	if err := httpapi.CheckJSONText(text); err != nil {
		return authorizer.Request{}, err
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
	return q.request(keys)
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
