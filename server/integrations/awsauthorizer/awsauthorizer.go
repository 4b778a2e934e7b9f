// Package awsauthorizer is the integration for Amazon API Gateway: POST /v1/authorizers/aws with the event of a Lambda
// authorizer returns what that Lambda has to return. The Lambda itself only forwards both.
//
// The response to an event of payload format 1.0 (types TOKEN and REQUEST) is an IAM policy for exactly the method and
// path of the request, that to an event of format 2.0 is a simple response. The parameter project of the URL, which the
// Lambda's configuration fixes, names the trusted project. A WebSocket API asks about $connect, which is a GET of "/".
package awsauthorizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	integrationName = "awsauthorizer"

	// maxBody bounds the event, in bytes. API Gateway accepts 10 KiB of headers.
	maxBody = 64 << 10

	policyVersion = "2012-10-17"
	policyAction  = "execute-api:Invoke"
	effectAllow   = "Allow"
	effectDeny    = "Deny"

	// nobody is the principal of a request without a key, or whose key is not known.
	nobody = "anonymous"
)

// PolicyResponse is the response to an event of format 1.0.
type PolicyResponse struct {
	PrincipalID    string         `json:"principalId"`
	PolicyDocument PolicyDocument `json:"policyDocument"`
	Context        map[string]any `json:"context"`
}

// PolicyDocument is an IAM policy, whose field names begin with capitals.
type PolicyDocument struct {
	Version   string
	Statement []Statement
}

// Statement allows or denies one method on one path.
type Statement struct {
	Action, Effect, Resource string
}

// SimpleResponse is the response to an event of format 2.0.
type SimpleResponse struct {
	IsAuthorized bool           `json:"isAuthorized"`
	Context      map[string]any `json:"context"`
}

// Register adds POST /v1/authorizers/aws to a mux.
func Register(mux *http.ServeMux, auth *authorizer.Authorizer, clients *clientaddr.Resolver) {
	mux.Handle("POST /v1/authorizers/aws", &handler{auth.Integration(integrationName), clients})
}

type handler struct {
	integration *authorizer.Integration
	clients     *clientaddr.Resolver
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	project, problem := httpapi.TrustedProject(r.URL.RawQuery)
	if problem != "" {
		w.Header().Set(httpapi.HeaderRequestID, httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...))
		httpapi.InvalidParameter(problem).Denial().Write(w)
		return
	}
	event, err := decode(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = event.check()
	}
	if err != nil {
		w.Header().Set(httpapi.HeaderRequestID, httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...))
		refuse(w, err)
		return
	}
	request := event.request(h.integration.Keys(), h.clients)
	request.TrustedProject = project
	request.Trace.Headers = r.Header // the Lambda's
	result := h.integration.Decide(r.Context(), &request)

	w.Header().Set(httpapi.HeaderRequestID, request.ID)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(event.respond(result, &request, h.integration.Principal(&result.Decision, request.ID))) // a client that has gone needs no response
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		status = http.StatusRequestEntityTooLarge
		err = fmt.Errorf("the event is larger than %d bytes", tooLarge.Limit)
	}
	httpapi.NewProblem(status, "event_invalid", "Event not understood", err.Error()).Denial().Write(w)
}

func (e *event) respond(result authorizer.Result, request *authorizer.Request, signed string) any {
	about := contextOf(result, request)
	if signed != "" {
		about["principal"] = signed
	}
	if e.Version == version2 {
		return SimpleResponse{IsAuthorized: result.Allowed(), Context: about}
	}
	principal, effect := nobody, effectDeny
	if result.Allowed() {
		effect = effectAllow
	}
	if result.Key.ID != "" {
		principal = result.Key.ID
	}
	return PolicyResponse{
		PrincipalID:    principal,
		PolicyDocument: PolicyDocument{Version: policyVersion, Statement: []Statement{{policyAction, effect, e.MethodArn}}},
		Context:        about,
	}
}

// rateNames are the names of rate limit headers in the context, from which integrations and gateway responses can send
// them.
var rateNames = map[string]string{httpapi.HeaderRateLimitPolicy: "rateLimitPolicy", httpapi.HeaderRateLimit: "rateLimit"}

// contextOf returns what integrations and gateway responses find in $context.authorizer: for an allowed request, whose
// content it is; for a denial, the reason. It is flat, as API Gateway requires.
func contextOf(result authorizer.Result, request *authorizer.Request) map[string]any {
	about := map[string]any{"requestId": request.ID, "code": result.Code.String(), "status": result.Code.Status()}
	for _, h := range httpapi.RateLimit(result.Rates) {
		about[rateNames[h.Name]] = h.Value
	}
	if !result.Allowed() {
		about["title"], about["detail"] = result.Code.Title(), result.Code.DetailFor(request.FetchSite)
		if seconds := httpapi.RetrySeconds(result.RetryAfter); seconds > 0 {
			about["retryAfter"] = seconds
		}
		return about
	}
	for name, value := range groupContext(result.Decision) {
		if _, exists := about[name]; !exists && value != "" {
			about[name] = value
		}
	}
	return about
}

// sealedPrefix precedes the names of sealed values. Names of a context have no underscore.
const sealedPrefix = "sealed_"

// groupContext gives Keyward's own names precedence over those that a group or a key may choose.
func groupContext(d decision.Decision) map[string]string {
	values := map[string]string{}
	for value := range d.ContextValues {
		values[value.Name] = value.Value
	}
	for i := range d.Group.Sealed {
		values[sealedPrefix+d.Group.Sealed[i].Name] = d.Group.Sealed[i].Value
	}
	values["groupId"] = d.Group.Identity
	values["groupName"] = d.Group.DisplayName
	values["tier"] = d.Group.Tier
	values["project"] = d.Project.Name
	values["keyId"] = d.Key.ID
	values["permissions"] = httpapi.Permissions(d)
	return values
}
