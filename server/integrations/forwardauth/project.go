package forwardauth

import (
	"net/http"

	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	parameterProject = "project"
	pathProject      = "/projects/{" + parameterProject + "}"
)

// trustedProject reads what the proxy's configuration says, or tells what is wrong with it.
// Nothing that looks like a project is passed over, for then another would decide.
func (d *proxyProfile) trustedProject(e *requestContext) (project, wrong string) {
	if d.projectInPath {
		if e.RawQuery != "" || e.forceQuery {
			return "", "This address takes no query, and what came may be the client's own: end the path with a '?' in the proxy's configuration. " +
				"The project goes into the path: " + d.path + "/projects/<name>."
		}
		return e.projectPath, ""
	}
	if e.RawQuery == "" {
		return "", ""
	}
	return httpapi.TrustedProject(e.RawQuery)
}

const codeIncomplete = "request_incomplete"

// incomplete tells a proxy that it is not set up properly.
func incomplete(header string) httpapi.Problem {
	return httpapi.NewProblem(http.StatusBadRequest, codeIncomplete, "Request incomplete",
		"The proxy must send the header "+header+" exactly once, with the value of the original request.")
}
