package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/keyward-dev/keyward/internal/decisioncode"
	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// ProblemType is the media type of denials (RFC 9457, section 3).
	ProblemType = "application/problem+json"

	problemBase = "https://keyward.dev/problems/"
	realm       = `Bearer realm="keyward"`
)

var noStore = Header{headerCacheControl, "no-store"}

// Problem is the body of a denial (RFC 9457), with the extension member code.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Code   string `json:"code"`
}

// NewProblem makes a problem that is not a decision's, such as a malformed request to an integration itself.
func NewProblem(status int, code, title, detail string) Problem {
	return Problem{Type: problemBase + code, Title: title, Status: status, Detail: detail, Code: code}
}

// NewDenial returns the response to a decision other than Allowed. retryAfter is when the client may try again, 0 if
// that is not known.
func NewDenial(d decision.Decision, request *decision.Request, retryAfter time.Duration) Denial {
	denial := denialFor(d.Code, request, retryAfter)
	denial.Headers = append(denial.Headers, Header{HeaderVary, Vary(request)})
	denial.Headers = append(denial.Headers, CORS(d, request)...)
	if request.Location.InURL() {
		denial.Headers = append(denial.Headers, ReferrerPolicy)
	}
	return denial
}

// With returns the denial with more headers.
func (d Denial) With(headers ...Header) Denial {
	d.Headers = append(d.Headers, headers...)
	return d
}

// CodeDenial returns the part of a denial that depends on its code alone.
func CodeDenial(code decision.Code) Denial {
	if code == decision.Preflight {
		return Denial{Status: code.Status(), Headers: []Header{noStore}}
	}
	return NewProblem(code.Status(), code.String(), code.Title(), code.Detail()).Denial()
}

func denialFor(code decision.Code, request *decision.Request, retryAfter time.Duration) Denial {
	if code == decision.Preflight {
		return Denial{Status: code.Status(), Headers: []Header{noStore}}
	}
	if code.Status() == http.StatusServiceUnavailable {
		retryAfter = time.Second
	}
	return denialOf(code.Status(), bodyOf(code, request), challenge(code), RetrySeconds(retryAfter))
}

// bodies are the bodies of denials by code. Nobody changes them.
var bodies = func() map[decision.Code][]byte {
	all := map[decision.Code][]byte{}
	for _, code := range decision.Codes() {
		all[code] = NewProblem(code.Status(), code.String(), code.Title(), code.Detail()).json()
	}
	return all
}()

// missing are the bodies of denials for lack of an origin, by Sec-Fetch-Site. Nobody changes them.
var missing = func() map[string][]byte {
	all := map[string][]byte{}
	for _, cause := range decisioncode.Causes() {
		code := decision.OriginMissing
		all[cause.FetchSite] = NewProblem(code.Status(), code.String(), code.Title(), cause.Detail).json()
	}
	return all
}()

func bodyOf(code decision.Code, request *decision.Request) []byte {
	if code == decision.OriginMissing {
		if body, ok := missing[request.FetchSite]; ok {
			return body
		}
	}
	return bodies[code]
}

// RetrySeconds returns the value of Retry-After (RFC 9110, section 10.2.3), in whole seconds.
func RetrySeconds(after time.Duration) int { return int((after + time.Second - 1) / time.Second) }

// json returns the problem's body, on a line of its own and readable for people: '<' needs no escape outside HTML.
func (p Problem) json() []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(p) != nil { // which is impossible: it has only strings and a number
		return []byte("{}")
	}
	return body.Bytes()
}

// Denial returns the problem as a response.
func (p Problem) Denial() Denial { return denialOf(p.Status, p.json(), "", 0) }

// usualHeaders is how many headers a denial has, with those that an integration adds.
const usualHeaders = 8

func denialOf(status int, body []byte, challenge string, retrySeconds int) Denial {
	headers := append(make([]Header, 0, usualHeaders), Header{"Content-Type", ProblemType}, noStore)
	if challenge != "" {
		headers = append(headers, Header{"Www-Authenticate", challenge})
	}
	if retrySeconds > 0 {
		headers = append(headers, Header{"Retry-After", strconv.Itoa(retrySeconds)})
	}
	return Denial{Status: status, Headers: headers, Body: body}
}

// challenge returns the WWW-Authenticate of RFC 6750, section 3: if no key was sent, it must not name an error.
func challenge(code decision.Code) string {
	switch {
	case code == decision.KeyMissing:
		return realm
	case code.Status() == http.StatusUnauthorized:
		return realm + `, error="invalid_token", error_description="` + code.Title() + `"`
	default:
		return ""
	}
}
