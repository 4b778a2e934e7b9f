package forwardauth

import (
	"net/http"
	"strings"

	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	parameterProject = "project"
	pathAuthz        = "/authz"
	pathProjects     = pathAuthz + "/projects/"
	pathProject      = "/projects/{" + parameterProject + "}"
)

// trustedProject reads the project that the proxy's configuration names, or returns what is wrong with it. It ignores
// nothing that looks like a project, because then another project would decide.
func (d *proxyProfile) trustedProject(e *requestContext) (project, wrong string) {
	if d.prefixed { // its query is the client's
		return e.projectPath, ""
	}
	if d.projectFirst {
		if e.RawQuery != "" || e.forceQuery {
			return "", "This address accepts no query. The project goes into the path: " + d.projectPath("<name>") + "."
		}
		return e.projectPath, ""
	}
	if d.projectInPath {
		if e.RawQuery != "" || e.forceQuery {
			return "", "This address accepts no query, and this one may be the client's: end the path with a '?' in the " +
				"proxy's configuration. " +
				"The project goes into the path: " + d.path + "/projects/<name>."
		}
		return e.projectPath, ""
	}
	if e.RawQuery == "" {
		return "", ""
	}
	return httpapi.TrustedProject(e.RawQuery)
}

// projectPath is the profile's path with a project, which comes before everything that may be the client's.
func (d *proxyProfile) projectPath(project string) string {
	return pathProjects + project + strings.TrimPrefix(d.path, pathAuthz)
}

const codeIncomplete = "request_incomplete"

// incomplete tells a proxy that it is not configured correctly.
func incomplete(header string) httpapi.Problem {
	return httpapi.NewProblem(http.StatusBadRequest, codeIncomplete, "Request incomplete",
		"The proxy must send the header "+header+" exactly once, with the value of the original request.")
}
