package clientaddr

import "strings"

// forwardedFor returns the node of the parameter "for" in an element of a Forwarded header (RFC 7239, section 4). The
// parameter must occur once.
func forwardedFor(element string) (node string, ok bool) {
	for rest, more := element, true; more; {
		var pair string
		pair, more = rest, false
		if at := lastOutsideQuotes(rest, ';'); at >= 0 {
			rest, pair, more = rest[:at], rest[at+1:], true
		}
		name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !strings.EqualFold(name, "for") {
			continue
		}
		if ok {
			return "", false
		}
		node, ok = unquote(value), true
	}
	return node, ok
}

// unquote returns the content of a quoted string. An address needs no escapes, so they stay, and the result is not an
// address.
func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// lastOutsideQuotes finds the last separator that is not in a quoted string. It reads from the end, which a proxy
// wrote: an open quote that the client has put in front cannot hide what follows.
func lastOutsideQuotes(s string, separator byte) int {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == '"' && !isEscaped(s, i):
			quoted = !quoted
		case s[i] == separator && !quoted:
			return i
		}
	}
	return -1
}

// isEscaped reports whether an odd number of backslashes precedes i.
func isEscaped(s string, i int) bool {
	n := 0
	for i--; i >= 0 && s[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// Forwarded returns the element of that header (RFC 7239, section 4) for a connection from remoteAddr with a request
// for host by proto. It omits a host that would need escapes.
func Forwarded(remoteAddr, host, proto string) string {
	element := "for=unknown"
	if peer := Peer(remoteAddr); peer.Is4() {
		element = "for=" + peer.String()
	} else if peer.Is6() {
		element = `for="[` + peer.String() + `]"`
	}
	if host != "" && !strings.ContainsAny(host, `"\`) {
		element += `;host="` + host + `"`
	}
	return element + ";proto=" + proto
}
