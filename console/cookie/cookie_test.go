package cookie_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/console/cookie"
)

func TestSet(t *testing.T) {
	t.Parallel()
	for kind, want := range map[cookie.Kind]string{
		{Name: "a"}:                 "__Host-a=v; Path=/; HttpOnly; Secure; SameSite=Lax",
		{Name: "a", Loopback: true}: "a=v; Path=/; HttpOnly; SameSite=Lax",
	} {
		w := httptest.NewRecorder()
		if err := kind.Set(w, "v"); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("Set-Cookie"); got != want {
			t.Errorf("Set: %q, want %q", got, want)
		}
		w = httptest.NewRecorder()
		kind.Clear(w)
		if got := w.Header().Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") || !strings.HasPrefix(got, kind.Full()+"=;") {
			t.Errorf("Clear: %q", got)
		}
	}
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	kind := cookie.Kind{Name: "a"}
	around := len("__Host-a=; Path=/; HttpOnly; Secure; SameSite=Lax")
	w := httptest.NewRecorder()
	if err := kind.Set(w, strings.Repeat("x", cookie.MostBytes-around)); err != nil {
		t.Errorf("a cookie of %d bytes: %v", cookie.MostBytes, err)
	}
	w = httptest.NewRecorder()
	if err := kind.Set(w, strings.Repeat("x", cookie.MostBytes-around+1)); err == nil || len(w.Header()) != 0 {
		t.Errorf("a longer cookie: %v, and %v was set", err, w.Header())
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	kind := cookie.Kind{Name: "a"}
	for header, want := range map[string]string{
		"":                                      "",
		"a=v":                                   "",
		"__Host-a=v":                            "v",
		"b=w; __Host-a=v":                       "v",
		"__Host-a=":                             "",
		"__Host-a=v; __Host-a=w":                "",
		"__Host-a=v; __Host-a=v":                "",
		"__Host-a=" + strings.Repeat("x", 4097): "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", header)
		if got, ok := kind.Get(r); got != want || ok != (want != "") {
			t.Errorf("Get of %.40q: %q, %v", header, got, ok)
		}
	}
}
