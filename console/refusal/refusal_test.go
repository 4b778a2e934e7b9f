package refusal_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/console/refusal"
)

func TestKindsHaveWords(t *testing.T) {
	t.Parallel()
	for _, kind := range refusal.Kinds() {
		r := refusal.Refusal{Kind: kind}
		if r.Status() < 400 || r.Title() == "" || !strings.HasSuffix(r.Hint(), ".") {
			t.Errorf("%s: %d, %q, %q", kind, r.Status(), r.Title(), r.Hint())
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	refusal.Write(refusal.PageFunc(refusal.Plain), w, httptest.NewRequest(http.MethodGet, "/", nil),
		refusal.Refusal{Kind: refusal.TooManySignIns, Detail: "As jane.", RetryAfter: 1500 * time.Millisecond})
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "2" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	if got := w.Body.String(); got != "Too many attempts. There were too many attempts to sign in. Wait, then try again.\nAs jane.\n" {
		t.Errorf("%q", got)
	}
}
