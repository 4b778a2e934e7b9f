// Package keyinfo is the integration for holders of keys: GET /v1/key, and in front of content GET /.well-known/keyward/key,
// with a key in a header, as in any other request, return what its holder may know about it.
package keyinfo

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/tracing"
)

const (
	integrationName = "keyinfo"

	retiring = "There is a newer version of this key: take it from where you got this one, and replace this one before retiresAt."
)

// methods are those that are answered.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodOptions}

// Handler answers holders of keys.
type Handler struct {
	integration *authorizer.Integration
	clients     *clientaddr.Resolver
}

// New returns the handler.
func New(auth *authorizer.Authorizer, clients *clientaddr.Resolver) *Handler {
	return &Handler{auth.Integration(integrationName), clients}
}

// Register adds both paths to a mux. A gateway may pass the second one on as it is.
func (h *Handler) Register(mux *http.ServeMux) {
	for _, method := range methods {
		mux.Handle(method+" "+adminv1.KeyPath, h)
		mux.Handle(method+" "+adminv1.KeyWellKnownPath, h)
	}
}

// InFront answers the well-known path, in that very spelling, and leaves all others to the handler of the content.
func (h *Handler) InFront(content http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != adminv1.KeyWellKnownPath || r.URL.RawPath != "" || r.Method == http.MethodConnect {
			content.ServeHTTP(w, r)
			return
		}
		httpapi.CloseUnread(w.Header(), r)
		h.ServeHTTP(w, r)
	})
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...)
	w.Header().Set(httpapi.HeaderRequestID, requestID)
	peer := clientaddr.Peer(r.RemoteAddr)
	request := authorizer.Request{
		Request: httpapi.NewRequest(h.integration.Keys(), r.Header, r.Method, r.Host, adminv1.KeyPath, ""),
		Client:  h.clients.FromConnection(peer, r.Header),
		ID:      requestID,
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && request.PreflightMethod == "" {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		httpapi.NewProblem(http.StatusMethodNotAllowed, "method_unknown", "Method not allowed",
			"This path accepts the methods in the header Allow.").Denial().Write(w)
		return
	}
	request.AboutKey = true
	if h.integration.Traced() {
		request.Trace = tracing.Parent{Headers: r.Header, Trusted: h.clients.Trusts(peer)}
	}
	result := h.integration.Decide(r.Context(), &request)
	limits := httpapi.RateLimit(result.Rates)
	if !result.Allowed() {
		httpapi.NewDenial(result.Decision, &request.Request, result.RetryAfter).With(limits...).Write(w)
		return
	}
	httpapi.Set(w.Header(), append(httpapi.CORS(result.Decision, &request.Request), limits...))
	httpapi.Set(w.Header(), httpapi.Retirement(result.Decision, h.integration.Now))
	w.Header().Set(httpapi.HeaderVary, httpapi.Vary(&request.Request))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	info := about(result, h.integration.Keys().Preview(r.Header))
	info.Quota = quotaOf(h.integration.Quota(r.Context(), &result))
	_ = json.NewEncoder(w).Encode(info) // a client that has gone needs no response
}

func about(result authorizer.Result, preview string) adminv1.KeyInfo {
	info := adminv1.KeyInfo{
		ID: result.Key.ID, Preview: preview, Projects: result.Key.Scope.Projects, Permissions: result.Key.Scope.Permissions,
		ExpiresAt: instant(result.Version.ExpiresAtMillis), RetiresAt: instant(result.Version.RetiresAtMillis),
	}
	if info.RetiresAt != nil {
		info.Hint = retiring
	}
	if limit := result.Rates.Key; limit.Limit.IsSet() {
		info.Limits = append(info.Limits, limitOf("key", limit.Limit, limit.Left))
	}
	if limit := result.Rates.Group; limit.Limit.IsSet() {
		info.Limits = append(info.Limits, limitOf("group", limit.Limit, limit.Left))
	}
	return info
}

func quotaOf(is *quota.Whole) *adminv1.KeyQuota {
	if is == nil {
		return nil
	}
	of := &adminv1.KeyQuota{ResetsAt: is.ResetsAt.UTC()}
	if is.Known {
		of.Requests, of.Left = &is.Requests, &is.Left
	}
	return of
}

func limitOf(policy string, limit decision.RateLimit, left uint32) adminv1.KeyLimit {
	return adminv1.KeyLimit{Policy: policy, PerSecond: limit.PerSecond, Burst: limit.Burst, Left: left}
}

// instant returns the instant of Unix milliseconds, or nil for 0, which is never.
func instant(millis int64) *time.Time {
	if millis == 0 {
		return nil
	}
	at := time.UnixMilli(millis).UTC()
	return &at
}
