package admissionserver

import (
	"errors"
	"fmt"
)

// Bounds of the shape of a JSON text. The largest list in Keyward's schemas has 256 elements.
const (
	maxElements = 1024
	maxValues   = 256 << 10
	maxDepth    = 64
)

var (
	errElements = fmt.Errorf("a list or an object in an admission review has at most %d elements", maxElements)
	errValues   = fmt.Errorf("an admission review has at most %d values", maxValues)
	errDepth    = fmt.Errorf("an admission review is nested at most %d deep", maxDepth)
	errString   = errors.New("a string in the admission review does not end")
)

// checkShape refuses a text whose decoding could take far more memory than the text itself: two
// bytes can become an element of hundreds of bytes. It examines only brackets and commas; decoding refuses
// texts that are not JSON.
func checkShape(body []byte) error {
	var elements [maxDepth]int
	depth, values := 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			for i++; ; i++ {
				if i >= len(body) {
					return errString
				}
				if body[i] == '\\' {
					i++
				} else if body[i] == '"' {
					break
				}
			}
		case '{', '[':
			if depth++; depth == maxDepth {
				return errDepth
			}
			elements[depth] = 1
		case '}', ']':
			depth = max(depth-1, 0)
		case ',':
			if elements[depth]++; elements[depth] > maxElements {
				return errElements
			}
			if values++; values > maxValues {
				return errValues
			}
		}
	}
	return nil
}
