package httpapi_test

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// TestExposedPages: browsers and htmx send the URL of the page in more headers than Referer.
func TestExposedPages(t *testing.T) {
	keys := credential.New(credential.Config{Parameters: []string{"token"}})
	header := http.Header{
		"Referer":        {"https://a.example/p?token=secret&x=1"},
		"Ping-From":      {"https://a.example/p?token=secret"},
		"Hx-Current-Url": {"https://a.example/p?x=1&token=secret"},
	}
	exposed := httpapi.ExposedBy(keys, header, &decision.Request{}, "")
	want := []httpapi.ExposedPage{
		{Name: "Ping-From", Lines: []string{"https://a.example/p"}},
		{Name: "Hx-Current-Url", Lines: []string{"https://a.example/p?x=1"}},
	}
	if !reflect.DeepEqual(exposed.Pages, want) {
		t.Errorf("got %+v, want %+v", exposed.Pages, want)
	}
	if !reflect.DeepEqual(exposed.Referers, []string{"https://a.example/p?x=1"}) {
		t.Errorf("got %q", exposed.Referers)
	}
	clean := http.Header{"Referer": {"https://a.example/"}, "Ping-From": {"https://a.example/?x=1"}}
	if exposed := httpapi.ExposedBy(keys, clean, &decision.Request{}, ""); exposed.Pages != nil {
		t.Errorf("%+v is replaced", exposed.Pages)
	}
}
