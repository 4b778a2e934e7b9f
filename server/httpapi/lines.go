package httpapi

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// usualLines is a number of header lines that an integration seldom exceeds.
const usualLines = 10

// secret is embedded in what may hold a key, so that printing, logging or encoding it shows a placeholder.
type secret struct{}

const secretText = "(not shown)"

// Format implements fmt.Formatter.
func (secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, secretText) }

// LogValue implements slog.LogValuer.
func (secret) LogValue() slog.Value { return slog.StringValue(secretText) }

// MarshalText implements encoding.TextMarshaler.
func (secret) MarshalText() ([]byte, error) { return []byte(secretText), nil }

// Lines are the lines of a header that an integration reads, in memory that can be reused.
type Lines struct {
	secret

	Header http.Header

	values [usualLines]string
	used   int
}

// Add is http.Header.Add for a canonical name.
func (l *Lines) Add(name, value string) {
	if l.Header == nil {
		l.Header = http.Header{}
	}
	values, more := l.Header[name]
	if more || l.used == len(l.values) {
		l.Header[name] = append(values, value)
		return
	}
	l.values[l.used] = value
	l.Header[name] = l.values[l.used : l.used+1 : l.used+1]
	l.used++
}

// Reset removes all lines.
func (l *Lines) Reset() {
	clear(l.Header)
	*l = Lines{Header: l.Header}
}

// maxName is the length of the longest name that Names may have.
const maxName = 32

// Names are names of headers to look for, by their length.
type Names [maxName + 1][]string

// NewNames returns the set of these names, which must be canonical.
func NewNames(names ...string) *Names {
	n := &Names{}
	for _, name := range names {
		if n.Find(name) == "" {
			n[len(name)] = append(n[len(name)], name)
		}
	}
	return n
}

// Find returns the name in its canonical form, or "" if it is not one of them. The name must be ASCII.
func (n *Names) Find(name string) string {
	if len(name) > maxName {
		return ""
	}
	for _, canonical := range n[len(name)] {
		if strings.EqualFold(canonical, name) {
			return canonical
		}
	}
	return ""
}
