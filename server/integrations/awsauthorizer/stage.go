package awsauthorizer

import (
	"errors"
	"net/http"
	"strings"
)

const (
	// stageDefault is the stage of an HTTP API that is not in its URLs.
	stageDefault = "$default"

	// routeConnect is the only route of a WebSocket API that has an authorizer.
	routeConnect = "$connect"
	eventConnect = "CONNECT"
)

// cutStage cuts the name of the stage off rawPath, which begins with it, also where a custom domain is mapped to the
// stage. Without it, the event is not as API Gateway sends it, and nobody knows which path the content server gets.
func (e *event) cutStage() error {
	stage := e.Context.Stage
	if stage == "" || stage == stageDefault {
		return nil
	}
	path, ok := strings.CutPrefix(e.RawPath, "/"+stage)
	if !ok || path != "" && path[0] != '/' {
		return errors.New("rawPath: it must begin with requestContext.stage, unless that is $default")
	}
	if path == "" {
		path = "/"
	}
	e.RawPath = path
	return nil
}

// checkConnect validates the event of a client that opens a WebSocket, which has neither method nor path: the method of
// such a request is GET (RFC 6455, section 4.1), and its path is always that of the stage.
func (e *event) checkConnect(route, path string) error {
	switch {
	case route != routeConnect || path != "/" || strings.HasSuffix(e.MethodArn, "/"):
		return errors.New("methodArn: of a WebSocket API it must end in $connect, the only route with an authorizer")
	case e.Type != typeRequest:
		return errors.New("type: of a WebSocket API it must be REQUEST")
	case e.Context.RouteKey != routeConnect:
		return errors.New("requestContext.routeKey: it must be $connect, as in methodArn")
	case e.Context.EventType != eventConnect:
		return errors.New("requestContext.eventType: it must be CONNECT, as methodArn ends in $connect")
	case e.HTTPMethod != "" || e.Path != "":
		return errors.New("httpMethod, path: a WebSocket API has none, but methodArn ends in $connect")
	}
	e.HTTPMethod, e.Path = http.MethodGet, "/"
	return nil
}
