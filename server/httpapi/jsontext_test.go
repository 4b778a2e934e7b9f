package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCheckJSONText(t *testing.T) {
	for text, good := range map[string]bool{
		`{"path":"/a"}`:                true,
		`{"path":"/é"}`:                true,
		`{"path":"/\u00e9"}`:           true,
		`{"path":"/\ud83d\ude00"}`:     true,
		`{"path":"/\\ud800"}`:          true, // a backslash and text
		`{"path":"/\ufffd"}`:           true, // the client wrote this
		"{\"path\":\"/\uFFFD\"}":       true,
		"{\"path\":\"/\xff\"}":         false,
		"{\"pa\xffth\":\"/\"}":         false,
		`{"path":"/\ud800"}`:           false,
		`{"path":"/\uDFFF"}`:           false,
		`{"path":"/\ud800x"}`:          false,
		`{"path":"/\ud800\n"}`:         false,
		`{"path":"/\ud800\ud800"}`:     false,
		`{"path":"/\ude00\ud83d"}`:     false,
		`{"path":"/\\\ud800"}`:         false, // a backslash and half of a pair
		`{"path":"/\ud83d\ude00\ud8"}`: true,  // no JSON
		`{"path":"/\ud800`:             false,
		`\`:                            true,
		`\u12`:                         true,
	} {
		if err := CheckJSONText([]byte(text)); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestCheckedJSONIsReadAsWritten: encoding/json has no replacement character for what was checked, unless it was written.
func TestCheckedJSONIsReadAsWritten(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", `\\`, `\"`, `\n`, `\ud83d`, `\ude00`, `\uD800`, `\u0041`, "\xff", "é", "\xc3", `\u005c`})
	rapid.Check(t, func(t *rapid.T) {
		text := `"` + strings.Join(rapid.SliceOfN(part, 0, 8).Draw(t, "parts"), "") + `"`
		var read string
		if err := json.Unmarshal([]byte(text), &read); err != nil {
			return
		}
		changed := strings.ContainsRune(read, '\uFFFD')
		if err := CheckJSONText([]byte(text)); (err != nil) != changed {
			t.Fatalf("%q becomes %q: %v", text, read, err)
		}
	})
}
