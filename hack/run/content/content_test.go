package content

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandler(t *testing.T) {
	for _, test := range []struct {
		method, target string
		header         http.Header
		status         int
		reached        bool
	}{
		{"GET", "/api/scenes/mkt-hero", http.Header{"X-Keyward-Project": {"marketing"}}, http.StatusOK, false},
		{"GET", "/tenant/siteDetails?siteId=42", http.Header{"Authorization": {"Bearer k"}}, http.StatusOK, true},
		{"POST", "/tenant/checkout/sessions", http.Header{"X-Api-Key": {"k"}}, http.StatusCreated, true},
		{"POST", "/tenant/contact", nil, http.StatusAccepted, false},
	} {
		request := httptest.NewRequest(test.method, test.target, http.NoBody)
		for name, values := range test.header {
			request.Header[name] = values
		}
		recorder := httptest.NewRecorder()
		Handler(slog.New(slog.DiscardHandler)).ServeHTTP(recorder, request)
		var body struct {
			Context           map[string]string `json:"context"`
			CredentialReached bool              `json:"credentialReached"`
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if recorder.Code != test.status || body.CredentialReached != test.reached ||
			body.Context["X-Keyward-Project"] != test.header.Get("X-Keyward-Project") {
			t.Errorf("%s %s: %d %s", test.method, test.target, recorder.Code, recorder.Body)
		}
	}
}

func TestMediaStreams(t *testing.T) {
	recorder := httptest.NewRecorder()
	Handler(slog.New(slog.DiscardHandler)).ServeHTTP(recorder,
		httptest.NewRequest(http.MethodGet, "/api/scenes/mkt-hero/media/preview.txt", http.NoBody))
	if lines := strings.Count(recorder.Body.String(), "\n"); !recorder.Flushed || lines != mediaParts {
		t.Errorf("%d parts, flushed: %t", lines, recorder.Flushed)
	}
}
