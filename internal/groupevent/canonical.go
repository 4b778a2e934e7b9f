package groupevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// canonical returns a JSON text in the form of RFC 8785. Numbers must be integers that every reader of JSON takes exactly.
func canonical(text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the JSON value")
	}
	return appendCanonical(nil, value)
}

func appendCanonical(to []byte, value any) ([]byte, error) {
	switch value := value.(type) {
	case nil:
		return append(to, "null"...), nil
	case bool:
		return strconv.AppendBool(to, value), nil
	case string:
		return appendString(to, value), nil
	case json.Number:
		const most = 1<<53 - 1
		n, err := strconv.ParseInt(value.String(), 10, 64)
		if err != nil || n > most || n < -most {
			return nil, fmt.Errorf("the number %s is not an integer that fits", value)
		}
		return strconv.AppendInt(to, n, 10), nil
	case []any:
		to = append(to, '[')
		for i, element := range value {
			if i > 0 {
				to = append(to, ',')
			}
			var err error
			if to, err = appendCanonical(to, element); err != nil {
				return nil, err
			}
		}
		return append(to, ']'), nil
	case map[string]any:
		to = append(to, '{')
		for i, name := range slices.SortedFunc(maps.Keys(value), byUTF16) {
			if i > 0 {
				to = append(to, ',')
			}
			to = append(appendString(to, name), ':')
			var err error
			if to, err = appendCanonical(to, value[name]); err != nil {
				return nil, err
			}
		}
		return append(to, '}'), nil
	default:
		return nil, fmt.Errorf("%T is no JSON value", value)
	}
}

// byUTF16 orders names as RFC 8785 does.
func byUTF16(a, b string) int {
	if strings.IndexFunc(a+b, func(r rune) bool { return r > 0xD7FF }) < 0 {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func appendString(to []byte, text string) []byte {
	const hex = "0123456789abcdef"
	to = append(to, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c >= 0x20:
			to = append(to, c)
		case c == '\b':
			to = append(to, `\b`...)
		case c == '\f':
			to = append(to, `\f`...)
		case c == '\n':
			to = append(to, `\n`...)
		case c == '\r':
			to = append(to, `\r`...)
		case c == '\t':
			to = append(to, `\t`...)
		default:
			to = append(to, `\u00`...)
			to = append(to, hex[c>>4], hex[c&0xF])
		}
	}
	return append(to, '"')
}
