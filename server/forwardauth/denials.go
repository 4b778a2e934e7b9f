package forwardauth

import (
	"net/http"

	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpwire"
)

// tellDenial answers with the status and the body of the code in the path. Headers that
// depend on the request are for the proxy to keep from the decision.
func tellDenial(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("code")
	for _, code := range decision.Codes()[1:] {
		if code.String() == name {
			httpwire.CodeDenial(code).Write(w)
			return
		}
	}
	switch name {
	case codeIncomplete:
		incomplete("X-Original-Method, X-Original-Host, X-Original-URI or X-Real-IP").Denial().Write(w)
		return
	case codeParameter:
		invalidParameter("The address that nginx asks takes project=<name> only.").Denial().Write(w)
		return
	}
	httpwire.NewProblem(http.StatusNotFound, "code_unknown", "No such code", "There is no denial with this code.").Denial().Write(w)
}

const codeIncomplete = "request_incomplete"

// incomplete tells a proxy that it is not set up properly.
func incomplete(header string) httpwire.Problem {
	return httpwire.NewProblem(http.StatusBadRequest, codeIncomplete, "Request incomplete",
		"The proxy must send the header "+header+" exactly once, with the value of the original request.")
}
