package adminapi_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/adminapi"
)

// TestToken: only the token that is in the file now opens, and without one nothing does.
func TestToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const secret = "what is behind it"
	handler := adminapi.RequireToken(file, slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(secret))
	}))
	get := func(authorization ...string) (int, string) {
		recorder, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		for _, line := range authorization {
			r.Header.Add("Authorization", line)
		}
		handler.ServeHTTP(recorder, r)
		return recorder.Code, recorder.Body.String()
	}
	const token, next = "a-token-of-some-length", "the-token-that-follows"
	if status, body := get("Bearer " + token); status != 503 || !strings.Contains(body, "admin_token_unreadable") {
		t.Errorf("without a file: %d %s", status, body)
	}
	write("short\n")
	if status, _ := get("Bearer short"); status != 503 {
		t.Errorf("with a short token: %d", status)
	}
	write(token + "\n")
	for _, wrong := range []string{"", token, "Bearer", "Bearer ", "Bearer " + token + "x", "Bearer " + token[1:], "Basic " + token} {
		if status, body := get(wrong); status != 401 || strings.Contains(body, secret) {
			t.Errorf("%q: %d %s", wrong, status, body)
		}
	}
	if status, body := get(); status != 401 || strings.Contains(body, secret) {
		t.Errorf("without a token: %d %s", status, body)
	}
	if status, body := get("Bearer "+token, "Bearer "+token); status != 401 || strings.Contains(body, secret) {
		t.Errorf("two tokens: %d %s", status, body)
	}
	for _, right := range []string{"Bearer " + token, "bearer " + token} {
		if status, body := get(right); status != 200 || body != secret {
			t.Errorf("%q: %d %s", right, status, body)
		}
	}
	write(next)
	if status, _ := get("Bearer " + token); status != 401 {
		t.Errorf("the replaced token: %d", status)
	}
	if status, _ := get("Bearer " + next); status != 200 {
		t.Errorf("the new token: %d", status)
	}
}
