package server

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/test/fakemanager"
)

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	bothPositions(t, unknownPathsAndMethodsAreProblems)
}

func unknownPathsAndMethodsAreProblems(t *testing.T, flag string) {
	v := start(t, configFor(t, fakemanager.Start(t), flag))
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/", 404, "path_unknown", ""},
		{"POST", "/nothing", 404, "path_unknown", ""},
		{"GET", "/authz/unknown", 404, "path_unknown", ""},
		{"GET", "/authz/", 404, "path_unknown", ""},
		{"GET", "//authz", 404, "path_unknown", ""},
		{"GET", "/x/../authz", 404, "path_unknown", ""},
		{"GET", "/v1/verify", 405, "method_unknown", "POST"},
		{"DELETE", "/v1/authorizers/aws", 405, "method_unknown", "POST"},
		{"BREW", "/v1/verify", 405, "method_unknown", "POST"},
		{"GET", "/authz", 400, "request_incomplete", ""}, // is known
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+v.addresses.HTTP.String()+c.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set(httpapi.HeaderRequestID, "mine")
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			var problem httpapi.Problem
			if err := json.NewDecoder(response.Body).Decode(&problem); err != nil {
				t.Error(err)
			}
			if response.StatusCode != c.status || problem.Status != c.status || problem.Code != c.code ||
				response.Header.Get("Allow") != c.allow {
				t.Errorf("%d %+v, Allow: %q", response.StatusCode, problem, response.Header.Get("Allow"))
			}
			if response.Header.Get(httpapi.HeaderRequestID) != "mine" || response.Header.Get("Content-Type") != httpapi.ProblemType {
				t.Errorf("headers %v", response.Header)
			}
		})
	}
}
