package groupevent

import (
	"strings"
	"testing"
	"time"
)

// TestLargestRequest: the longest texts that the API server admits in a request do not keep it out of the log.
func TestLargestRequest(t *testing.T) {
	names := func(n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = strings.Repeat("n", 63)
		}
		return all
	}
	// The encoding has 6 bytes for a character that is not printed, and 4 for one beyond U+FFFF.
	text := strings.Repeat("\x1b", 500)
	subject := Subject{Kind: kindRequest, Namespace: strings.Repeat("n", 63), Name: strings.Repeat("n", 253), UID: strings.Repeat("u", 36)}
	group := Group{Namespace: subject.Namespace, Name: subject.Name, UID: subject.UID}
	by := Actor{User: strings.Repeat("\U0001f511", 1024), Via: ViaUnknown}
	for kind, data := range map[Type]any{
		TypeRequestCreated:  RequestCreated{Projects: names(64), Permissions: names(33), UseCase: text, Lifetime: strings.Repeat("9", 32) + "d"},
		TypeRequestRefused:  RequestDecided{Reason: text},
		TypeRequestApproved: RequestDecided{Reason: strings.Repeat("\U0001f511", 500)},
	} {
		event, err := New(group, kind, subject.UID+"/requested", time.Unix(1e9, 0), subject, by, data)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if _, err := Append(Head{}, event); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
