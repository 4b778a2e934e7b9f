package forwardauth

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/gate"
	"github.com/keyward-dev/keyward/server/httpwire"
	"github.com/keyward-dev/keyward/server/store"
)

// TestDenialsAreToldAgain: with status and body of the decision, and nothing else.
func TestDenialsAreToldAgain(t *testing.T) {
	mux := http.NewServeMux()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(store.Config{}, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	Register(mux, gate.New(s, time.Now, log, prometheus.NewRegistry()), nil)
	want := map[string]int{codeIncomplete: 400, "nope": 404, "allowed": 404, "preflight": 204}
	for _, code := range decision.Codes()[1:] {
		want[code.String()] = code.Status()
	}
	for code, status := range want {
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/authz/nginx/denials/"+code, http.NoBody))
		if recorder.Code != status || (recorder.Body.Len() > 0) != (status != 204) || recorder.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %s", code, recorder.Code, recorder.Body)
		}
	}
}

// TestAnIncompleteQuestionIsRefused is about proxies that are not set up properly: nothing
// is guessed.
func TestAnIncompleteQuestionIsRefused(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(store.Config{}, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	Register(mux, gate.New(s, time.Now, log, prometheus.NewRegistry()), nil)
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, dialect := range []struct {
		path     string
		original original
		status   int
	}{{"/authz", forwarded, http.StatusBadRequest}, {"/authz/nginx", nginx, http.StatusForbidden}} {
		names := []string{dialect.original.method, dialect.original.host, dialect.original.uri}
		for _, broken := range names {
			for _, values := range [][]string{nil, {""}, {"a", "b"}} {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+dialect.path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range names {
					request.Header[name] = []string{"/x"}
				}
				request.Header[broken] = values
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				var problem httpwire.Problem
				err = json.NewDecoder(response.Body).Decode(&problem)
				_ = response.Body.Close()
				if err != nil || response.StatusCode != dialect.status || problem.Status != http.StatusBadRequest || problem.Code != "request_incomplete" || !strings.Contains(problem.Detail, broken) {
					t.Errorf("%s with %s %q: %d %+v, %v", dialect.path, broken, values, response.StatusCode, problem, err)
				}
			}
		}
	}
}
