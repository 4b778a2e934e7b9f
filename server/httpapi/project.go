package httpapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

const (
	codeParameter    = "parameter_invalid"
	parameterProject = "project"
	shownParameter   = 64 // bytes of the client's text
)

// TrustedProject reads the query of an address at which the caller names the trusted project, or returns what is wrong
// with it. It ignores nothing that looks like a project, because then another project would decide.
func TrustedProject(rawQuery string) (project, problem string) {
	parameters, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", "The query of this address cannot be read."
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) { // so that the error is the same every time
		values := parameters[name]
		switch {
		case name != parameterProject:
			return "", "There is no parameter " + strconv.QuoteToASCII(name[:min(len(name), shownParameter)]) +
				"; this address takes project=<name> only."
		case len(values) != 1 || values[0] == "":
			return "", "The parameter project must occur once and name a project, or not occur."
		}
		project = values[0]
	}
	return project, ""
}

// InvalidParameter tells the caller that its configuration is wrong, as TrustedProject describes.
func InvalidParameter(problem string) Problem {
	return NewProblem(http.StatusBadRequest, codeParameter, "Invalid parameter",
		problem+" Correct the configuration of the proxy or application that sends the request.")
}
