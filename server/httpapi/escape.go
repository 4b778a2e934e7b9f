package httpapi

// visible are the bytes that may be in a line of HTTP and end no query.
var visible = func() (literal [256]bool) {
	for c := byte('!'); c <= '~'; c++ {
		literal[c] = c != '#'
	}
	return literal
}()

// EscapeQuery percent-encodes the bytes of a query that may not be in a request line. Servers accept more than RFC 3986, section
// 3.4, allows, since nobody decodes a query as a whole.
func EscapeQuery(query string) string { return Escape(query, &visible) }

// Escape percent-encodes the bytes that may not be literal, each on its own, and keeps all others: decoding the result
// once gives the same as decoding the text once.
func Escape(text string, literal *[256]bool) string {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		if literal[text[i]] {
			continue
		}
		out := append(make([]byte, 0, len(text)+2*len(text[i:])), text[:i]...)
		for _, c := range []byte(text[i:]) {
			if literal[c] {
				out = append(out, c)
			} else {
				out = append(out, '%', digits[c>>4], digits[c&15])
			}
		}
		return string(out)
	}
	return text
}
