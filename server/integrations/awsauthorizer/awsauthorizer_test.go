package awsauthorizer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/test/fixture"
)

// serve serves a group whose context tries to replace Keyward's own.
func serve(t *testing.T) (url, key string) {
	t.Helper()
	minted, mux := fixture.Mint(t), http.NewServeMux()
	update := fixture.Update(minted)
	group := update.Groups[0]
	group.DisplayName = "Acmé"
	group.Context = map[string]string{"database": "acme_prod", "bucketName": "acme-media", "groupId": "tenants/evil", "status": "500"}
	update.Keys[0].Context = map[string]string{"bucketName": "acme-trial", "keyId": "k2", "plan": "trial"}
	group.Projects[0].OwnsAll, group.Projects[0].Routes = false, []*syncv1.Route{{Paths: []string{"/request", "/my/path"}}}
	limit := throttle.New(throttle.Config{Failures: 1, IPv6Prefix: 64})
	Register(mux, fixture.Authorizer(t, update, authorizer.WithThrottle(limit)), nil)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/v1/authorizers/aws", minted.Reveal()
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	status, header, text := fixture.Post(t, url, body)
	if len(header["X-Request-Id"]) != 1 {
		t.Errorf("request ids %q", header["X-Request-Id"])
	}
	return status, text
}

// The events are those of API Gateway's documentation, reduced to the relevant fields.
const (
	arn = "arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/request"

	tokenEvent = `{"type":"TOKEN","authorizationToken":"Bearer KEY","methodArn":"` + arn + `"}`
	restEvent  = `{"type":"REQUEST","methodArn":"` + arn + `","resource":"/request","path":"/request","httpMethod":"GET",
		"headers":{"X-AMZ-Date":"20170718T062915Z","Accept":"*/*","x-api-key":"KEY"},"queryStringParameters":{"QueryString1":"queryValue1"},
		"pathParameters":{},"stageVariables":{"StageVar1":"stageValue1"},
		"requestContext":{"path":"/request","accountId":"123456789012","resourceId":"05c7jb","stage":"test","requestId":"c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
		"identity":{"apiKey":"ignored","sourceIp":"192.0.2.1","clientCert":{"validity":{"notBefore":"May 28 12:30:02 2019 GMT"}}},
		"resourcePath":"/request","httpMethod":"GET","apiId":"abcdef123"}}`
	httpEvent = `{"version":"2.0","type":"REQUEST","routeArn":"` + arn + `","identitySource":["KEY"],"routeKey":"$default","rawPath":"/my/path",
		"rawQueryString":"parameter1=value1&parameter1=value2","cookies":["cookie1"],"headers":{"header1":"value1,value2","authorization":"KEY"},
		"requestContext":{"accountId":"123456789012","apiId":"api-id","domainName":"id.execute-api.us-east-1.amazonaws.com","domainPrefix":"id",
		"http":{"method":"GET","path":"/my/path","protocol":"HTTP/1.1","sourceIp":"192.0.2.1","userAgent":"agent"},
		"requestId":"JKJaXmPLvHcESHA=","stage":"$default","timeEpoch":1583348638390}}`
)

func TestResponses(t *testing.T) {
	url, key := serve(t)
	const allowed = `"bucketName":"acme-trial","code":"allowed","database":"acme_prod","groupId":"tenants/acme","groupName":"Acmé",` +
		`"keyId":"k1","permissions":"read","plan":"trial","project":"default","requestId":ID,"status":200`
	policy := func(principal, effect, context string) string {
		return fmt.Sprintf(`{"principalId":%q,"policyDocument":{"Version":"2012-10-17",`+
			`"Statement":[{"Action":"execute-api:Invoke","Effect":%q,"Resource":%q}]},"context":{%s}}`,
			principal, effect, arn, context)
	}
	for name, c := range map[string]struct{ event, want string }{
		"token":                 {tokenEvent, policy("k1", "Allow", allowed)},
		"token without Bearer":  {strings.Replace(tokenEvent, "Bearer ", "", 1), policy("k1", "Allow", allowed)},
		"request, 1.0":          {restEvent, policy("k1", "Allow", allowed)},
		"request, 1.0, said so": {strings.Replace(restEvent, "{", `{"version":"1.0",`, 1), policy("k1", "Allow", allowed)},
		"request, 2.0":          {httpEvent, `{"isAuthorized":true,"context":{` + allowed + `}}`},
		"no token": {strings.Replace(tokenEvent, "Bearer KEY", "", 1),
			policy("anonymous", "Deny",
				`"code":"key_missing","detail":"Send the API key as 'Authorization: Bearer \u003ckey\u003e' or 'X-Api-Key: \u003ckey\u003e'.","requestId":ID,"status":401,"title":"API key missing"`)},
		"not its project": {strings.Replace(restEvent, `"path":"/request","httpMethod"`, `"path":"/other","httpMethod"`, 1),
			policy("k1", "Deny",
				`"code":"project_unknown","detail":"The request belongs to no project of the API key's group.","requestId":ID,"status":403,"title":"No such project"`)},
		"an encoded path": {strings.Replace(httpEvent, `"rawPath":"/my/path"`, `"rawPath":"/my/%70ath"`, 1), `"code":"path_ambiguous"`},
		"a write":         {strings.Replace(httpEvent, `"method":"GET"`, `"method":"PUT"`, 1), `"code":"permission_denied"`},
	} {
		t.Run(name, func(t *testing.T) {
			status, got := post(t, url, strings.ReplaceAll(c.event, "KEY", key))
			var response struct{ Context struct{ RequestID string } }
			if err := json.Unmarshal([]byte(got), &response); err != nil {
				t.Fatal(err)
			}
			id, _ := json.Marshal(response.Context.RequestID)
			got = strings.Replace(got, string(id), "ID", 1)
			if status != http.StatusOK || !strings.Contains(got, c.want) || strings.Contains(got, key) {
				t.Errorf("%d %s\nwant %s", status, got, c.want)
			}
		})
	}
	if _, got := post(t, url, strings.ReplaceAll(restEvent, "KEY", key)); !strings.Contains(got,
		`"requestId":"c6af9ac6-7b61-11e6-9a41-93e8deadbeef"`) {
		t.Errorf("the gateway's request id is not taken: %s", got)
	}
	for _, problem := range []string{"?projct=media", "?Project=media", "?project=", "?project=media&project=other", "?project=other;x"} {
		if status, got := post(t, url+problem, strings.ReplaceAll(restEvent, "KEY", key)); status != 400 ||
			!strings.Contains(got, "parameter_invalid") {
			t.Errorf("%s: %d %s", problem, status, got)
		}
	}
	if _, got := post(t, url+"?project=nope", strings.ReplaceAll(restEvent, "KEY", key)); !strings.Contains(got,
		"project_unknown") && !strings.Contains(got, "too_many_failures") {
		t.Errorf("the trusted project is not asked: %s", got)
	}
}

func TestFailuresAreThrottledBySource(t *testing.T) {
	url, key := serve(t)
	problem := strings.ReplaceAll(httpEvent, "KEY", "wrong")
	if _, got := post(t, url, problem); !strings.Contains(got, "key_malformed") {
		t.Errorf("the first: %s", got)
	}
	if _, got := post(t, url, problem); !strings.Contains(got, "too_many_failures") || !strings.Contains(got, `"retryAfter":60`) {
		t.Errorf("the second: %s", got)
	}
	if _, got := post(t, url, strings.ReplaceAll(httpEvent, "KEY", key)); !strings.Contains(got, `"isAuthorized":true`) {
		t.Errorf("a good key: %s", got)
	}
}

func TestMalformedEventsNameTheField(t *testing.T) {
	url, key := serve(t)
	many := map[string]string{}
	for i := range maxHeaders + 1 {
		many[fmt.Sprintf("x-%d", i)] = "x"
	}
	headers, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	withArn := func(value string) string { return strings.Replace(tokenEvent, arn, value, 1) }
	for name, c := range map[string]struct {
		event, field string
		status       int
	}{
		"empty":                     {``, "body", 400},
		"a list":                    {`[]`, "body", 400},
		"null":                      {`null`, "type", 400},
		"two":                       {tokenEvent + tokenEvent, "body", 400},
		"cut off":                   {tokenEvent[:40], "body", 400},
		"no type":                   {`{"methodArn":"` + arn + `"}`, "type", 400},
		"another type":              {strings.Replace(tokenEvent, "TOKEN", "COGNITO", 1), "type", 400},
		"another version":           {strings.Replace(httpEvent, "2.0", "3.0", 1), "version", 400},
		"a number for a version":    {strings.Replace(httpEvent, `"2.0"`, "2.0", 1), "version", 400},
		"a token of 2.0":            {strings.Replace(tokenEvent, "{", `{"version":"2.0",`, 1), "type", 400},
		"no arn":                    {withArn(""), "methodArn", 400},
		"another arn":               {withArn("arn:aws:s3:::bucket/test/GET/x"), "methodArn", 400},
		"an arn of another service": {withArn("arn:aws:lambda:us-east-1:123456789012:abcdef123/test/GET/request"), "methodArn", 400},
		"an arn without a method":   {withArn("arn:aws:execute-api:us-east-1:123456789012:abcdef123/test"), "methodArn", 400},
		"a wildcard in the arn":     {withArn("arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/*"), "methodArn", 400},
		"a variable in the arn":     {withArn("arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/${aws:x}"), "methodArn", 400},
		"no method":                 {strings.Replace(restEvent, `"httpMethod":"GET",`, "", 1), "httpMethod", 400},
		"no path":                   {strings.Replace(restEvent, `"path":"/request","httpMethod"`, `"httpMethod"`, 1), "path", 400},
		"no raw path":               {strings.Replace(httpEvent, `"rawPath":"/my/path",`, "", 1), "rawPath", 400},
		"no method of 2.0":          {strings.Replace(httpEvent, `"method":"GET",`, "", 1), "requestContext.http.method", 400},
		"a list for a header":       {strings.Replace(httpEvent, `"value1,value2"`, `["a"]`, 1), "headers", 400},
		"a text for the context":    {`{"type":"REQUEST","version":"2.0","requestContext":"x"}`, "requestContext", 400},
		"too many headers": {strings.Replace(httpEvent, `"headers":{`,
			`"headers":`+strings.TrimSuffix(string(headers), "}")+`,`, 1), "headers", 400},
		"too large": {strings.Replace(tokenEvent, "KEY", strings.Repeat("x", maxBody), 1), "larger", 413},
	} {
		t.Run(name, func(t *testing.T) {
			status, got := post(t, url, strings.ReplaceAll(c.event, "KEY", key))
			var problem httpapi.Problem
			if err := json.Unmarshal([]byte(got), &problem); err != nil {
				t.Fatal(err)
			}
			if status != c.status || problem.Code != "event_invalid" || !strings.Contains(problem.Detail, c.field) ||
				strings.Contains(got, key) {
				t.Errorf("%d %s", status, got)
			}
		})
	}
}

func TestStageOfAnHTTPAPI(t *testing.T) {
	url, key := serve(t)
	event := strings.ReplaceAll(strings.ReplaceAll(tokenEvent, "/test/", "/$default/"), "KEY", key)
	if _, got := post(t, url, event); !strings.Contains(got, `"Effect":"Allow"`) {
		t.Errorf("got %s", got)
	}
}

// FuzzEvent looks for events that are allowed without the key in them.
func FuzzEvent(f *testing.F) {
	for _, seed := range []string{tokenEvent, restEvent, httpEvent, `{"type":"REQUEST","headers":{"a":"b"}}`,
		`{"Type":"TOKEN","METHODARN":"x"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := decode(strings.NewReader(text))
		if err == nil {
			err = e.check()
		}
		if err != nil {
			return
		}
		request := e.request(nil, nil)
		if request.ID == "" || request.Method == "" || strings.ContainsAny(request.Path, "%?#") {
			t.Errorf("%q becomes %+v", text, request)
		}
	})
}
