package conformance

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/integrations/awsauthorizer"
	"github.com/keyward-dev/keyward/test/fixture"
)

const (
	// socketEvent is the event of a WebSocket API, as Amazon documents it, reduced to what means something.
	socketEvent = `{"type":"REQUEST","methodArn":"arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/prod/$connect",
		"headers":{"Host":"product.acme.example","Upgrade":"websocket","Sec-WebSocket-Version":"13","X-Api-Key":"{both}"},
		"multiValueHeaders":{"Host":["product.acme.example"],"Upgrade":["websocket"],"X-Api-Key":["{both}"]},
		"queryStringParameters":{"room":"1"},"multiValueQueryStringParameters":{"room":["1"]},"stageVariables":{},
		"requestContext":{"routeKey":"$connect","eventType":"CONNECT","messageDirection":"IN","stage":"prod","connectionId":"Lx=",
		"requestId":"c6af9ac6","domainName":"product.acme.example","apiId":"abcdef1234","identity":{"sourceIp":"192.0.2.7"}}}`

	// stageEvent is the event of an HTTP API with a named stage.
	stageEvent = `{"version":"2.0","type":"REQUEST","routeArn":"arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/prod/GET/x",
		"routeKey":"ANY /{proxy+}","rawPath":"/prod/api/scenes/mkt-1","rawQueryString":"","headers":{"x-api-key":"{good}"},
		"requestContext":{"apiId":"abcdef1234","domainName":"abcdef1234.execute-api.eu-central-1.amazonaws.com","stage":"prod",
		"http":{"method":"GET","path":"/prod/api/scenes/mkt-1","sourceIp":"192.0.2.7"},"requestId":"JKJaXmPLvHcESHA="}}`
)

// rawPath replaces the path of stageEvent, and what else is given.
func rawPath(path string, more ...string) *strings.Replacer {
	return strings.NewReplacer(append([]string{`"rawPath":"/prod/api/scenes/mkt-1"`, `"rawPath":"` + path + `"`}, more...)...)
}

var awsTable = []wayCase{
	// WebSocket APIs.
	{name: "websocket, as it asks", guards: "WebSocket APIs refused", code: "allowed", project: "product"},
	{name: "websocket with a project", guards: "a project of the Lambda's URL that is not believed for a WebSocket",
		request: "?project=marketing", event: strings.NewReplacer("{both}", "{good}"), code: "allowed", project: "marketing"},
	{name: "websocket without lists", guards: "headers that are not listed twice", event: strings.NewReplacer(
		`"multiValueHeaders":{"Host":["product.acme.example"],"Upgrade":["websocket"],"X-Api-Key":["{both}"]},`, ""),
		code: "allowed", project: "product"},
	{name: "websocket, no project", guards: "the path of a WebSocket API taken for anybody's",
		event: strings.NewReplacer("product.acme.example", "cdn.acme.example"), code: "project_unknown"},
	{name: "websocket, no key", guards: "WebSockets opened without a key", event: strings.NewReplacer("X-Api-Key", "X-Other"),
		code: "key_missing"},
	{name: "websocket, foreign origin", guards: "foreign pages, which no browser keeps from opening a WebSocket",
		request: "?project=marketing", event: strings.NewReplacer("{both}", "{good}", `"multiValueHeaders":{`,
			`"multiValueHeaders":{"Origin":["https://evil.example"],`), code: "origin_denied"},
	{name: "websocket, another route", guards: "routes of messages, which have no authorizer",
		event: strings.NewReplacer("$connect", "$disconnect"), code: "event_invalid"},
	{name: "websocket, a path behind the route", guards: "a policy for what is no route", event: strings.NewReplacer(
		`/$connect"`, `/$connect/x"`), code: "event_invalid"},
	{name: "websocket, a slash behind the route", guards: "a policy for another route than is asked about",
		event: strings.NewReplacer(`/$connect"`, `/$connect/"`), code: "event_invalid"},
	{name: "websocket, a token", guards: "a kind of authorizer that WebSocket APIs do not have",
		event: strings.NewReplacer(`"REQUEST"`, `"TOKEN"`, `"type"`, `"authorizationToken":"Bearer {both}","type"`), code: "event_invalid"},
	{name: "websocket, another route key", guards: "an event whose route is not its policy's",
		event: strings.NewReplacer(`"routeKey":"$connect"`, `"routeKey":"$default"`), code: "event_invalid"},
	{name: "websocket, a message", guards: "a message taken for a new connection", event: strings.NewReplacer("CONNECT", "MESSAGE"),
		code: "event_invalid"},
	{name: "websocket with a method", guards: "a request of another kind whose policy is $connect", event: strings.NewReplacer(
		`"type"`, `"httpMethod":"POST","type"`), code: "event_invalid"},
	{name: "websocket with a path", guards: "a path that is not in the policy", event: strings.NewReplacer(
		`"type"`, `"path":"/api/scenes/mkt-1","type"`), code: "event_invalid"},
	{name: "websocket, a variable as stage", guards: "a policy that means other stages than it seems to",
		event: strings.NewReplacer("/prod/", "/${aws:x}/"), code: "event_invalid"},
	{name: "a path that is named like the route", guards: "REST paths refused that look like a route of a WebSocket API",
		event: strings.NewReplacer("/prod/$connect", "/prod/GET/$connect", `"type"`, `"httpMethod":"GET","path":"/$connect","type"`),
		code:  "allowed", project: "product"},

	// HTTP APIs with a stage.
	{name: "stage, as it asks", guards: "routes that would have to begin with the name of a stage",
		event: rawPath("/prod/api/scenes/mkt-1"), code: "allowed", project: "marketing"},
	{name: "stage, a custom domain", guards: "a domain that is mapped to a stage refused", event: rawPath("/prod/api/scenes/mkt-1",
		"abcdef1234.execute-api.eu-central-1.amazonaws.com", "cdn.acme.example"), code: "allowed", project: "marketing"},
	{name: "stage, the default one", guards: "the default stage cut off, which is in no path",
		event: rawPath("/api/scenes/mkt-1", `"stage":"prod"`, `"stage":"$default"`), code: "allowed", project: "marketing"},
	{name: "stage, the default one with another's path", guards: "a first segment cut off for its name",
		event: rawPath("/prod/api/scenes/mkt-1", `"stage":"prod"`, `"stage":"$default"`), code: "project_unknown"},
	{name: "stage, none", guards: "events of older APIs refused", event: rawPath("/api/scenes/mkt-1", `"stage":"prod",`, ""),
		code: "allowed", project: "marketing"},
	{name: "stage, not in the path", guards: "a path of which nobody knows whether its stage was cut off",
		event: rawPath("/api/scenes/mkt-1"), code: "event_invalid"},
	{name: "stage, another one in the path", guards: "the stage of one deployment taken for another's",
		event: rawPath("/test/api/scenes/mkt-1"), code: "event_invalid"},
	{name: "stage, a longer segment", guards: "a stage that is cut off within a segment", event: rawPath("/production/api/scenes/mkt-1"),
		code: "event_invalid"},
	{name: "stage in capitals", guards: "stages compared without case", event: rawPath("/PROD/api/scenes/mkt-1"), code: "event_invalid"},
	{name: "stage, encoded", guards: "a stage that is decoded before it is cut off", event: rawPath("/%70rod/api/scenes/mkt-1"),
		code: "event_invalid"},
	{name: "stage, twice", guards: "a stage that is cut off again and again", event: rawPath("/prod/prod/api/scenes/mkt-1"),
		code: "project_unknown"},
	{name: "stage, nothing behind it", guards: "an empty path that each reader completes differently", event: rawPath("/prod"),
		code: "project_unknown"},
	{name: "stage, two slashes in front", guards: "an empty segment in front of the stage", event: rawPath("//prod/api/scenes/mkt-1"),
		code: "event_invalid"},
	{name: "stage, two slashes behind it", guards: "an empty segment that hides behind the stage",
		event: rawPath("/prod//api/scenes/mkt-1"), code: "path_ambiguous"},
	{name: "stage, a dot segment behind it", guards: "a path that climbs out of its stage", event: rawPath("/prod/../api/scenes/mkt-1"),
		code: "path_ambiguous"},
	{name: "stage, an encoded slash behind it", guards: "an encoded slash that API Gateway may have decoded",
		event: rawPath("/prod/api/scenes%2fmkt-1"), code: "path_ambiguous"},
	{name: "stage, another project behind it", guards: "a stage behind which one project's key reads another",
		event: rawPath("/prod/api/scenes/prd-1"), code: "project_denied"},
}

// TestAWSWays sends the events of Amazon's other kinds of APIs.
func TestAWSWays(t *testing.T) {
	keys, update := snapshot(t)
	mux := http.NewServeMux()
	awsauthorizer.Register(mux, newAuthorizer(t, "", update), clientaddr.New(nil, clientaddr.HeaderXForwardedFor))
	front := startFront(t, mux, nil)
	for _, c := range awsTable {
		t.Run(c.name, func(t *testing.T) {
			event := socketEvent
			if strings.HasPrefix(c.name, "stage") {
				event = stageEvent
			}
			if c.event != nil {
				event = c.event.Replace(event)
			}
			status, _, body := fixture.Post(t, "http://"+front.String()+"/v1/authorizers/aws"+c.request, keys.fill(event))
			var response struct {
				Code           string
				IsAuthorized   bool
				PolicyDocument struct {
					Statement []struct{ Effect, Resource string }
				}
				Context struct{ Code, Project string }
			}
			if err := json.Unmarshal([]byte(body), &response); err != nil {
				t.Fatal(err)
			}
			allowed := response.IsAuthorized
			for _, statement := range response.PolicyDocument.Statement {
				allowed = statement.Effect == "Allow"
				if !strings.Contains(event, `"methodArn":"`+statement.Resource+`"`) {
					t.Errorf("the policy is about %s", statement.Resource)
				}
			}
			got := response.Code + response.Context.Code // one of them is empty
			if got != c.code || response.Context.Project != c.project || allowed != (c.code == "allowed") ||
				(status == http.StatusOK) == (c.code == "event_invalid") {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}
