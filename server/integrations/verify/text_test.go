package verify

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// TestTextIsUnchanged: a path that encoding/json would change is refused, before there is a decision about another one.
func TestTextIsUnchanged(t *testing.T) {
	const body = `{"method":"GET","host":"h","path":"/a%s"}`
	for text, want := range map[string]error{
		"": nil, "é": nil, `\ud83d\ude00`: nil, "\xff": httpapi.ErrText, `\ud800`: httpapi.ErrText, `\ude00\ud83d`: httpapi.ErrText,
	} {
		if _, err := decode(strings.NewReader(fmt.Sprintf(body, text)), nil); !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
