package httpapi

import (
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/decision"
)

// takeToken makes the token of a signed URL the credential, and removes it from the query that is decided on and sent on. With a
// key beside it, there are two credentials: the next reader of the request might choose the other one.
func takeToken(request *decision.Request) {
	text, rest, count := urltoken.Cut(request.RawQuery)
	if count == 0 {
		return
	}
	request.RawQuery = rest
	if request.Credential.Form != decision.Absent {
		request.Credential = decision.Credential{Form: decision.Malformed}
		return
	}
	request.Credential.Form = decision.SignedURL
	if token, err := urltoken.Parse(text); err == nil && count == 1 {
		request.Token = token
	}
}
