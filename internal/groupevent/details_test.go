package groupevent

import "testing"

func TestDetails(t *testing.T) {
	for data, want := range map[string]string{
		`{"contacts":[{"email":"ops@acme.example","name":"ops"},{"name":"hook","url":"https://a.example"}],"days":7}`: "contacts=ops,hook days=7",
		`{"changes":[{"after":"b","before":"a","field":"spec.x"}],"generation":2}`:                                    "x: a → b",
		`{"projects":["a","b"]}`: "projects=a,b",
		`no JSON`:                "",
	} {
		if got := (&Event{Data: []byte(data)}).Details(); got != want {
			t.Errorf("%s: %q, expected %q", data, got, want)
		}
	}
}
