package reverseproxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestBytes: the count is what clients received in bodies; denials are not counted.
func TestBytes(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/streamed":
			for range 10 {
				_, _ = io.WriteString(w, strings.Repeat("x", 1000))
				_ = http.NewResponseController(w).Flush()
			}
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20+7))
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "half of it")
		}
	}, Config{})
	received := uint64(0)
	for _, target := range []string{"/empty", "/streamed", "/large", "/cut"} {
		response, err := http.DefaultClient.Do(f.request(t.Context(), t, target))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		received += uint64(len(body))
	}
	head := f.request(t.Context(), t, "/large")
	head.Method = http.MethodHead
	denied := f.request(t.Context(), t, "/large")
	denied.Header.Del("Authorization")
	for _, request := range []*http.Request{head, denied} {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	uses := f.quotas.Due(time.Now(), false)
	if len(uses) != 1 || uses[0].GetRequests() != 5 || uses[0].GetBytes() != received {
		t.Errorf("received %d bytes, counted %v", received, uses)
	}
}
