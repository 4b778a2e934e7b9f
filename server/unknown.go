package server

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/server/httpapi"
)

const everyPath = "/"

// withUnknown makes a mux respond to unknown paths and methods with problems, which have an id like all responses: 404
// path_unknown, and 405 method_unknown with Allow (RFC 9110, section 15.5.6).
func withUnknown(mux *http.ServeMux) http.Handler {
	unknown := func(w http.ResponseWriter, r *http.Request) {
		problem := httpapi.NewProblem(http.StatusNotFound, "path_unknown", "Not found",
			"This path does not exist. Gateways use /authz and the paths below it, applications use /v1/verify, and holders of keys /v1/key.")
		if allowed := methodsOf(mux, r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			problem = httpapi.NewProblem(http.StatusMethodNotAllowed, "method_unknown", "Method not allowed",
				"This path accepts the methods in the header Allow.")
		}
		w.Header().Set(httpapi.HeaderRequestID, httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...))
		problem.Denial().Write(w)
	}
	mux.HandleFunc(everyPath, unknown)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isClean(r.URL.Path) { // the mux would redirect, which gateways cannot use
			unknown(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func isClean(p string) bool {
	return p == everyPath || strings.HasPrefix(p, everyPath) && path.Clean(p) == strings.TrimSuffix(p, "/")
}

// methodsOf returns the methods that the mux accepts for the path of a request.
func methodsOf(mux *http.ServeMux, r *http.Request) []string {
	if !isClean(r.URL.Path) {
		return nil
	}
	return slices.DeleteFunc([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete}, func(method string) bool {
		other := *r
		other.Method = method
		_, pattern := mux.Handler(&other)
		return pattern == everyPath
	})
}
