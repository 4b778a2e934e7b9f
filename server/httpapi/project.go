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
	shownParameter   = 64 // bytes of what somebody else wrote
)

// TrustedProject reads the query of an address at which whoever asks names the trusted
// project, or tells what is wrong with it. Nothing that looks like a project is passed over,
// for then another would decide.
func TrustedProject(rawQuery string) (project, wrong string) {
	parameters, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", "The query of this address cannot be read."
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) { // so that the same is told every time
		values := parameters[name]
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

// InvalidParameter tells whoever asks that their configuration is wrong, as TrustedProject does.
func InvalidParameter(wrong string) Problem {
	return NewProblem(http.StatusBadRequest, codeParameter, "Invalid parameter", wrong+" The configuration of whoever asks is to be corrected.")
}
