package forwardauth

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyward-dev/keyward/server/httpwire"
)

const (
	codeParameter    = "parameter_invalid"
	parameterProject = "project"
	pathProject      = "/projects/{" + parameterProject + "}"
	shownParameter   = 64 // bytes of what somebody else wrote
)

// trustedProject reads what the proxy's configuration says, or tells what is wrong with it.
// Nothing that looks like a project is passed over, for then another would decide.
func (d *dialect) trustedProject(r *http.Request) (project, wrong string) {
	if d.projectInPath {
		if r.URL.RawQuery != "" || r.URL.ForceQuery {
			return "", "This address takes no query, and what came may be the client's own: end the path with a '?' in the proxy's configuration. " +
				"The project goes into the path: " + d.path + "/projects/<name>."
		}
		return r.PathValue(parameterProject), ""
	}
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", "The query of this address cannot be read."
	}
	for name, values := range parameters {
		switch {
		case name != parameterProject:
			return "", "There is no parameter " + strconv.QuoteToASCII(name[:min(len(name), shownParameter)]) + "; this address takes project=<name> only."
		case len(values) != 1 || values[0] == "":
			return "", "The parameter project must be there once and name a project, or not be there."
		}
		project = values[0]
	}
	return project, ""
}

func invalidParameter(detail string) httpwire.Problem {
	return httpwire.NewProblem(http.StatusBadRequest, codeParameter, "Invalid parameter", detail+" The proxy's configuration is to be corrected.")
}

const codeIncomplete = "request_incomplete"

// incomplete tells a proxy that it is not set up properly.
func incomplete(header string) httpwire.Problem {
	return httpwire.NewProblem(http.StatusBadRequest, codeIncomplete, "Request incomplete",
		"The proxy must send the header "+header+" exactly once, with the value of the original request.")
}
