package place_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/keyward-dev/keyward/console/place"
)

func TestPathsAreServedAsWritten(t *testing.T) {
	group := place.Group{Namespace: "team-a", Name: "acme.eu"}
	key := place.Key{Group: group, Namespace: "shop", Name: "web"}
	for _, test := range []struct{ path, pattern string }{
		{group.Of(), "/groups/{ns}/{group}"},
		{group.Of("usage"), "/groups/{ns}/{group}/usage"},
		{key.Of(), "/groups/{ns}/{group}/keys/{keyns}/{key}"},
		{key.Of("revoke"), "/groups/{ns}/{group}/keys/{keyns}/{key}/revoke"},
		{group.Allowlist("team-a", "sites"), "/groups/{ns}/{group}/allowlists/{allowns}/{allowlist}"},
	} {
		mux := http.NewServeMux()
		var got string
		mux.HandleFunc(test.pattern, func(_ http.ResponseWriter, r *http.Request) { got = r.PathValue("ns") + " " + r.PathValue("group") })
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, test.path, nil))
		if got != "team-a acme.eu" {
			t.Errorf("%s is not served by %s: %q", test.path, test.pattern, got)
		}
	}
	if got := (place.Group{Namespace: "a", Name: "../x?y"}).Of(); got != "/groups/a/..%2Fx%3Fy" {
		t.Errorf("a name leaves its segment: %s", got)
	}
}

func TestRequests(t *testing.T) {
	for got, want := range map[string]string{
		place.Request{Namespace: "shop", Name: "web"}.Of():            "/requests/shop/web",
		place.Request{Namespace: "shop", Name: "../web"}.Of("delete"): "/requests/shop/..%2Fweb/delete",
		place.RequestsIn("shop"):                                      "/requests?search=shop%2F",
		place.AskIn("", place.Group{}):                                "/ask",
		place.AskIn("shop", place.Group{}):                            "/ask?namespace=shop",
		place.AskIn("shop", place.Group{Namespace: "a&b", Name: "c"}): "/ask?group=a%26b%2Fc&namespace=shop",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
