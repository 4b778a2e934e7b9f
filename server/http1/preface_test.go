package http1

import (
	"strings"
	"testing"
)

const wholePreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// beyondHTTP1 is what the strict reader would refuse.
const beyondHTTP1 = "\x00\x00\x00\x04\x00\x00\x00\x00\x00 \n\n anything: \x01"

// TestPrefaceIsHTTP2 however it arrives, and what follows is not examined.
func TestPrefaceIsHTTP2(t *testing.T) {
	stream := wholePreface + beyondHTTP1
	for at := 1; at < len(stream); at++ {
		for _, portion := range []int{1, 7, 4096} {
			got, refused := passedOn(portion, stream[:at], stream[at:])
			if got != stream || refused != nil {
				t.Fatalf("split at %d, in portions of %d: %q is passed on, refused %v", at, portion, got, refused)
			}
		}
	}
}

// TestNothingElseIsHTTP2: neither an incomplete preface, nor one that is not first.
func TestNothingElseIsHTTP2(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\nHost: h\n\n"
	first := "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	streams := []string{
		"PRI * HTTP/2.0\r\nHost: h\r\n\r\n" + smuggled,
		"PRI * HTTP/2.0\r\n\r\n" + smuggled,
		"PRI * HTTP/2.0\r\n\r\nSM\r\nHost: h\r\n\r\n" + smuggled,
		"PRI * HTTP/2.0\r\nHost: h\r\n\r\nSM\r\n\r\n" + smuggled,
		"pri * http/2.0\r\n\r\nSM\r\n\r\n" + smuggled,
		"\r\n" + wholePreface + smuggled,
		first + wholePreface + smuggled,
		first + "PRI * HTTP/2.0\r\nHost: h\r\n\r\n" + smuggled,
		first + first + wholePreface + smuggled,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + wholePreface + smuggled,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + wholePreface + smuggled,
	}
	for end := len("PRI "); end < len(wholePreface); end++ { // cut off, and a request behind it
		streams = append(streams, wholePreface[:end]+first+smuggled)
	}
	for _, stream := range streams {
		for at := 1; at < len(stream); at++ {
			got, refused := passedOn(4096, stream[:at], stream[at:])
			if refused == nil || strings.Contains(got, "smuggled") || strings.Contains(got, "PRI") {
				t.Fatalf("%q split at %d: %q is passed on, refused %v", stream, at, got, refused)
			}
		}
	}
}
