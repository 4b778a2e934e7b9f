package conformance

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/httpapi"
)

const methodArn = "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/prod/"

// askAWS1 asks like a REST API: duplicates are listed, parameters are decoded.
func askAWS1(t *testing.T, base string, e testRequest) outcome {
	t.Helper()
	path, query := httpapi.SplitTarget(e.target)
	parameters := map[string][]string{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(pair, "=")
		if ok {
			parameters[name] = append(parameters[name], value)
		}
	}
	arn := methodArn + e.method + path
	body := postAWS(t, base, e, map[string]any{
		"type": "REQUEST", "methodArn": arn, "resource": "/{proxy+}", "path": path, "httpMethod": e.method,
		"multiValueHeaders": headersOf(e), "multiValueQueryStringParameters": parameters,
		"requestContext": map[string]any{"domainName": e.host, "identity": map[string]any{"sourceIp": sourceOf(e)}},
	})
	var response struct {
		PrincipalID    string `json:"principalId"`
		PolicyDocument struct {
			Version   string
			Statement []map[string]string
		} `json:"policyDocument"`
		Context map[string]any `json:"context"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	statements := response.PolicyDocument.Statement
	if response.PrincipalID == "" || response.PolicyDocument.Version != "2012-10-17" || len(statements) != 1 ||
		statements[0]["Action"] != "execute-api:Invoke" || statements[0]["Resource"] != arn {
		t.Fatalf("the policy is %s", body)
	}
	return fromAWS(t, statements[0]["Effect"] == "Allow", response.Context)
}

// askAWS2 asks like an HTTP API: duplicates are joined by commas, the query is raw, and the path begins with the stage,
// except for the default one.
func askAWS2(t *testing.T, base string, e testRequest, stage string) outcome {
	t.Helper()
	path, query := httpapi.SplitTarget(e.target)
	rawPath := path
	if stage != "$default" {
		rawPath = "/" + stage + path
	}
	headers := map[string]string{}
	for name, values := range headersOf(e) {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	body := postAWS(t, base, e, map[string]any{
		"version": "2.0", "type": "REQUEST", "routeArn": methodArn + e.method +
			path, "routeKey": "$default", "rawPath": rawPath, "rawQueryString": query, "headers": headers,
		"requestContext": map[string]any{"domainName": e.host, "stage": stage, "http": map[string]any{"method": e.method,
			"path": rawPath, "sourceIp": sourceOf(e)}},
	})
	var response struct {
		IsAuthorized bool           `json:"isAuthorized"`
		Context      map[string]any `json:"context"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return fromAWS(t, response.IsAuthorized, response.Context)
}

func headersOf(e testRequest) map[string][]string {
	headers := map[string][]string{}
	for _, line := range e.lines {
		name, value, _ := strings.Cut(line, ": ")
		headers[name] = append(headers[name], value)
	}
	return headers
}

func sourceOf(e testRequest) string {
	client, _, _ := strings.Cut(e.client, ":4711") // API Gateway sends no port
	return client
}

func postAWS(t *testing.T, base string, e testRequest, event map[string]any) []byte {
	t.Helper()
	if strings.HasPrefix(e.target, "/%61pi/") {
		t.Skip("API Gateway does not say whether a path is encoded, so what looks like it is always ambiguous here")
	}
	body, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	address := base + "/v1/authorizers/aws"
	if e.project != "" {
		address += "?project=" + url.QueryEscape(e.project)
	}
	response, err := http.Post(address, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answered bytes.Buffer
	if _, err := answered.ReadFrom(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s: %v", response.StatusCode, answered.Bytes(), err)
	}
	return answered.Bytes()
}

// fromAWS finds in the context what other integrations put into headers.
func fromAWS(t *testing.T, allowed bool, context map[string]any) outcome {
	t.Helper()
	status, _ := context["status"].(float64)
	code, _ := context["code"].(string)
	id, _ := context["requestId"].(string)
	a := outcome{allowed: allowed, status: int(status), code: code, requestID: id, isVerdict: true, headers: http.Header{}}
	for name, header := range map[string]string{"rateLimitPolicy": "RateLimit-Policy", "rateLimit": "RateLimit"} {
		if value, ok := context[name].(string); ok {
			a.headers.Set(header, value)
		}
	}
	if _, wait := context["retryAfter"]; wait != waits(a.status, a.code) {
		t.Errorf("the context is %v", context)
	}
	named := map[string]string{
		"groupId": "X-Keyward-Group", "groupName": "X-Keyward-Group-Name", "tier": "X-Keyward-Tier",
		"project": "X-Keyward-Project", "keyId": "X-Keyward-Key-Id", "permissions": "X-Keyward-Permissions", "principal": "X-Keyward-Principal",
	}
	for name, value := range context {
		text, isText := value.(string)
		switch header, known := named[name]; {
		case known:
			a.injected = append(a.injected, header+": "+httpapi.Encode(text))
		case slices.Contains([]string{"status", "code", "requestId", "title", "detail", "retryAfter", "rateLimit",
			"rateLimitPolicy"}, name):
		case isText:
			header, _ := httpapi.ContextHeaderName(name)
			if sealed, is := strings.CutPrefix(name, "sealed_"); is {
				header, _ = httpapi.SealedHeaderName(sealed)
			}
			a.injected = append(a.injected, header+": "+text)
		default:
			t.Errorf("%s is no text", name)
		}
	}
	slices.Sort(a.injected)
	return a
}
