package verify

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzRequest looks for requests that are read in another way than they are written, and for errors that quote what may
// be a key.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"key":"k","method":"GET","url":"https://cdn.acme.example/a?b=c"}`,
		`{"method":"POST","host":"h","path":"/p%20q","query":"?a=b","headers":{"Authorization":"Bearer k","origin":["https://a.example"]}}`,
		`{"method":"OPTIONS","url":"http://h?q#f","origin":"https://a.example","headers":{"Access-Control-Request-Method":"PATCH"}}`,
		`{"method":"GET","path":"/","project":"p","clientAddress":"192.0.2.1","requestId":"r"}`,
		`{"method":"GET","method":"PUT","path":"/"}`, `{"Method":"GET"}`, `{"method":"GET","path":"/"}{}`, `[]`, `{"key":1}`,
		`{"headers":{"X-Api-Key":null}}`, `{"key":null,"method":"GET","path":"/\u0000"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		request, err := decode(strings.NewReader(text), nil)
		if err != nil {
			const long = 20 // like a key, and unlike most words of an error
			if value := strings.Trim(text, `{}[]" `); len(value) >= long && strings.Contains(err.Error(), value) {
				t.Fatalf("%q is quoted: %v", text, err)
			}
			return
		}
		if request.Method == "" || strings.ContainsAny(request.Path, "?#") {
			t.Fatalf("%q becomes %+v", text, request)
		}
		// It is one object, in which every member occurs once.
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			t.Fatalf("%q is accepted: %v", text, err)
		}
		again, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		other, err := decode(bytes.NewReader(again), nil)
		if err != nil {
			t.Fatalf("%q is accepted, and %q is not: %v", text, again, err)
		}
		request.ID, other.ID = "", "" // which are made if there are none
		if !reflect.DeepEqual(request, other) {
			t.Fatalf("%q is %+v, and %q is %+v", text, request, again, other)
		}
	})
}

// TestTruncatedRequests: none of them may keep the reader busy.
func TestTruncatedRequests(t *testing.T) {
	const whole = `{"key":"k","method":"GET","headers":{"Authorization":["Bearer k","x"],"Origin":{"a":[1]}}}`
	for i := range len(whole) {
		for _, end := range []string{"", "x", "[x", `"`} {
			if _, err := decode(strings.NewReader(whole[:i]+end), nil); err == nil {
				t.Errorf("%q is accepted", whole[:i]+end)
			}
		}
	}
}
