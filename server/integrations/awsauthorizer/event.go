package awsauthorizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	typeToken   = "TOKEN"
	typeRequest = "REQUEST"

	version1 = "1.0"
	version2 = "2.0"

	maxHeaders = 256
)

// event is what API Gateway sends to an authorizer, of all types and formats, with the fields that are needed. It
// contains the client's credential, so it is never printed.
type event struct {
	Version string `json:"version"`
	Type    string `json:"type"`

	// Of format 1.0. A TOKEN has only these two.
	MethodArn          string `json:"methodArn"`
	AuthorizationToken string `json:"authorizationToken"`

	HTTPMethod      string              `json:"httpMethod"`
	Path            string              `json:"path"`
	MultiHeaders    map[string][]string `json:"multiValueHeaders"`
	Parameters      map[string]string   `json:"queryStringParameters"`
	MultiParameters map[string][]string `json:"multiValueQueryStringParameters"`

	// Of format 2.0.
	RawPath  string `json:"rawPath"`
	RawQuery string `json:"rawQueryString"`

	// Of both.
	Headers map[string]string `json:"headers"`
	Context struct {
		RequestID  string `json:"requestId"`
		DomainName string `json:"domainName"`
		Stage      string `json:"stage"`
		RouteKey   string `json:"routeKey"`
		EventType  string `json:"eventType"`
		Identity   struct {
			SourceIP string `json:"sourceIp"`
		} `json:"identity"`
		HTTP struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

var errNoEvent = errors.New("the body must be one JSON object, the unchanged event of the authorizer")

// decode reads one event and nothing else. API Gateway may add fields. Errors name the field and contain no value.
func decode(body io.Reader) (*event, error) {
	text, err := io.ReadAll(body)
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, err
	}
	if err != nil {
		return nil, errNoEvent
	}
	if err := httpapi.CheckJSONText(text); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	e := &event{}
	if err := decoder.Decode(e); err != nil {
		var wrongType *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrongType) && wrongType.Field != "":
			return nil, fmt.Errorf("%s: it must be a %s, not a %s", wrongType.Field, wrongType.Type.Kind(),
				strings.Fields(wrongType.Value)[0])
		default:
			return nil, errNoEvent
		}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body must be one JSON object with nothing after it")
	}
	return e, nil
}

// check validates the event. It also converts a TOKEN into the form of a REQUEST.
func (e *event) check() error {
	if e.Version == "" { // REST APIs send none
		e.Version = version1
	}
	if len(e.Headers) > maxHeaders || len(e.MultiHeaders) > maxHeaders {
		return fmt.Errorf("headers: there are more than %d", maxHeaders)
	}
	switch {
	case e.Version != version1 && e.Version != version2:
		return errors.New("version: it must be 1.0 or 2.0, or be missing for 1.0")
	case e.Type != typeRequest && e.Type != typeToken:
		return errors.New("type: it must be TOKEN or REQUEST")
	case e.Version == version2 && e.Type != typeRequest:
		return errors.New("type: of format 2.0 it must be REQUEST")
	case e.Version == version2:
		if err := present("requestContext.http.method", e.Context.HTTP.Method, "rawPath", e.RawPath); err != nil {
			return err
		}
		return e.cutStage()
	}
	method, path, err := splitArn(e.MethodArn)
	if err != nil {
		return err
	}
	if strings.HasPrefix(method, "$") {
		return e.checkConnect(method, path)
	}
	if e.Type == typeToken {
		e.HTTPMethod, e.Path = method, path
		e.Headers, e.MultiHeaders = nil, map[string][]string{httpapi.HeaderAuthorization: {e.AuthorizationToken}}
	}
	return present("httpMethod", e.HTTPMethod, "path", e.Path)
}

// present takes names and values of fields, and returns an error about the first one without a value.
func present(fields ...string) error {
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] == "" {
			return fmt.Errorf("%s: it is missing", fields[i])
		}
	}
	return nil
}

// splitArn reads arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH. It becomes the resource of a policy, which
// API Gateway may keep and apply to other requests. So it must match nothing but itself there.
func splitArn(arn string) (method, path string, err error) {
	if arn == "" {
		return "", "", errors.New("methodArn: it is missing")
	}
	const prefix, service, resource, inResource = 0, 2, 5, 4 // the indexes of parts, and how many a resource has
	parts := strings.SplitN(arn, ":", resource+1)
	if len(parts) <= resource || parts[prefix] != "arn" || parts[service] != "execute-api" {
		return "", "", errors.New("methodArn: it must be an ARN of execute-api")
	}
	if strings.ContainsAny(arn, "*?") || strings.Contains(arn, "${") {
		return "", "", errors.New("methodArn: it must have no '*', '?' or '${', which have a meaning in a policy")
	}
	of := strings.SplitN(parts[resource], "/", inResource)
	if len(of) < inResource-1 {
		return "", "", errors.New("methodArn: it must name stage and method")
	}
	path = "/"
	if len(of) == inResource {
		path += of[inResource-1]
	}
	return of[2], path, nil
}

// request converts the event into a request for a decision.
func (e *event) request(keys *credential.Locations, clients *clientaddr.Resolver) authorizer.Request {
	header := e.header()
	method, path, query, source := e.HTTPMethod, e.Path, e.query(), e.Context.Identity.SourceIP
	if e.Version == version2 {
		method, path, query, source = e.Context.HTTP.Method, e.RawPath, e.RawQuery, e.Context.HTTP.SourceIP
	}
	host := e.Context.DomainName
	if host == "" {
		host = header.Get("Host")
	}
	if len(path) <= routing.MaxPath && strings.ContainsAny(path, "%?#") {
		// API Gateway does not say whether it has decoded a path, so an encoded one could be read in two ways. The
		// decision refuses an empty path for the same reason.
		path = ""
	}
	request := authorizer.Request{Request: httpapi.NewRequest(keys, header, method, host, path, query)}
	request.KeepsKey = true // no authorizer can change the request
	if peer, err := netip.ParseAddr(source); err == nil {
		request.Client = clients.FromConnection(peer, header)
	}
	ids := header[httpapi.HeaderRequestID]
	if len(ids) == 0 && e.Context.RequestID != "" {
		ids = []string{e.Context.RequestID}
	}
	request.ID = httpapi.RequestID(ids...)
	return request
}

// header prefers the list with duplicates. Without it, duplicates are joined by commas, or lost.
func (e *event) header() http.Header {
	header := http.Header{}
	for name, values := range e.MultiHeaders {
		for _, value := range values {
			header.Add(name, value)
		}
	}
	if len(e.MultiHeaders) > 0 {
		return header
	}
	for name, value := range e.Headers {
		header.Add(name, value)
	}
	return header
}

func (e *event) query() string {
	parameters := url.Values(e.MultiParameters)
	if len(parameters) == 0 {
		parameters = url.Values{}
		for name, value := range e.Parameters {
			parameters.Set(name, value)
		}
	}
	return parameters.Encode()
}
