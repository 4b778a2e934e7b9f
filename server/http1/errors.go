package http1

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	statusMalformed = http.StatusBadRequest
	codeMalformed   = "request_malformed"
	titleMalformed  = "Malformed request"

	// netHTTPErrorHeaders follows the status line in error responses that net/http writes itself.
	netHTTPErrorHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	maxNetHTTPError     = 512
)

// protocolError is the reason why a message is refused. Servers on its way may understand it differently, which is all
// that a smuggled request needs.
type protocolError struct{ denial httpapi.Denial }

func malformed(detail string) *protocolError {
	return &protocolError{httpapi.NewProblem(statusMalformed, codeMalformed, titleMalformed, detail).Denial()}
}

var (
	errBareLF      = malformed("A line does not end in CR LF.")
	errFolded      = malformed("A header line is continued on the next one (obs-fold).")
	errRequestLine = malformed("The request line is not 'method target HTTP/1.1'.")
	errVersion     = malformed("The version is neither HTTP/1.1 nor HTTP/1.0.")
	errName        = malformed("A header has no name, or its name contains a space or another character that is not allowed there.")
	errControl     = malformed("A header has a control character in its value.")
	errHost        = malformed("The request needs one Host header, with the host of its target if the target has one.")
	errLength      = malformed("Content-Length is not one number.")
	errCoding      = malformed("Transfer-Encoding is not 'chunked', once, in HTTP/1.1.")
	errLengths     = malformed("There are both Content-Length and Transfer-Encoding.")
	errChunk       = malformed("The chunked encoding of the body is invalid.")

	errTooLarge = &protocolError{httpapi.NewProblem(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large", "Headers too large",
		"The headers of the request are larger than this server accepts. Send fewer or shorter ones.").Denial()}
)

// Write implements io.Writer.
func (c *conn) Write(p []byte) (int, error) {
	denial, ok := c.replacement(p)
	if !ok {
		return c.Conn.Write(p)
	}
	var response bytes.Buffer
	fmt.Fprintf(&response, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %d\r\n", denial.Status,
		http.StatusText(denial.Status), len(denial.Body))
	for _, h := range append(denial.Headers, httpapi.Header{Name: httpapi.HeaderRequestID, Value: httpapi.RequestID()}) {
		fmt.Fprintf(&response, "%s: %s\r\n", h.Name, h.Value)
	}
	response.Write(crlf)
	response.Write(denial.Body)
	if _, err := c.Conn.Write(response.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// replacement returns the denial to send instead of an error response that net/http writes itself. It reports whether
// p is one.
func (c *conn) replacement(p []byte) (httpapi.Denial, bool) {
	const begin = "HTTP/1.1 "
	if c.responding.Load() || len(p) > maxNetHTTPError || !bytes.HasPrefix(p, []byte(begin)) {
		return httpapi.Denial{}, false
	}
	line, _, ok := bytes.Cut(p, []byte(netHTTPErrorHeaders))
	if !ok || bytes.Contains(line, crlf) || len(line) < len(begin)+3 {
		return httpapi.Denial{}, false
	}
	status, err := strconv.Atoi(string(line[len(begin) : len(begin)+3]))
	switch {
	case err != nil:
		return httpapi.Denial{}, false
	case c.refused != nil:
		return c.refused.denial, true
	case status == http.StatusRequestHeaderFieldsTooLarge:
		return errTooLarge.denial, true
	default:
		return httpapi.NewProblem(status, codeMalformed, titleMalformed, "The request is not valid HTTP.").Denial(), true
	}
}
