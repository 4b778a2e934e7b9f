package plugin

import (
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Texts of objects and servers are other people's: they must not give orders to a terminal, forge lines, or turn the
// direction of writing. Everything that the plugin writes goes through a cleanWriter, which leaves nothing but visible
// characters and the ends of lines; what is put into a line has none of those either, by clean; and the plugin's own
// colours are painted, which nothing else can be.

// visible reports whether a character is only seen.
func visible(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d' // of scripts and emoji
	return unicode.IsGraphic(r) || r == nonJoiner || r == joiner
}

// clean returns the text as one line of visible characters. Others are written as in JSON.
func clean(text string) string {
	return cleaned(text, func(r rune) string {
		if r == '\n' || r == '\t' {
			return " "
		}
		return ""
	})
}

// cleaned replaces what is not visible by what instead says, or else by an escape that JSON reads as the same.
func cleaned(text string, instead func(rune) string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch other := instead(r); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\u00%02x`, text[i])
		case other != "":
			out.WriteString(other)
		case visible(r):
			out.WriteString(text[i : i+size])
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&out, `\u%04x`, unit)
			}
		}
		i += size
	}
	return out.String()
}

// escapeLike is what looks like an escape, and is none.
var escapeLike = regexp.MustCompile(`\\u[0-9a-f]{4}`)

// exact returns the name of a user as it is shown in a table, where no two names look the same to who reads characters: spaces are seen, and are not those between
// columns. The API server takes any name from an identity provider.
func exact(name string) string {
	text := []rune(cleaned(escapeLike.ReplaceAllStringFunc(name, func(found string) string { return `\u005c` + found[1:] }), func(rune) string { return "" }))
	if name == "-" { // which stands for nobody
		return `\u002d`
	}
	var out strings.Builder
	for i, r := range text {
		between := i > 0 && i < len(text)-1 && !unicode.IsSpace(text[i-1]) && !unicode.IsSpace(text[i+1])
		if unicode.IsSpace(r) && (r != ' ' || !between) {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// escapedForYAML is the escape of YAML where it differs from that of JSON: YAML has no surrogates.
func escapedForYAML(r rune) string {
	if r > 0xffff && !visible(r) {
		return fmt.Sprintf(`\U%08x`, r)
	}
	return ""
}

// cleanArguments returns what a line is made of, without what must not be in it.
func cleanArguments(args []any) []any {
	safe := make([]any, len(args))
	for i, arg := range args {
		switch a := arg.(type) {
		case painted:
			safe[i] = a
		case error:
			safe[i] = clean(a.Error())
		default:
			safe[i] = arg
			if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
				safe[i] = clean(v.String())
			}
		}
	}
	return safe
}

// painted is a clean text with a colour of the plugin's.
type painted struct{ text string }

// String implements fmt.Stringer.
func (p painted) String() string { return p.text }

// cleanWriter is the last place before the terminal. A Write is of whole characters.
type cleanWriter struct{ to io.Writer }

// Write implements io.Writer.
func (w cleanWriter) Write(text []byte) (int, error) { return w.write(text, nil) }

func (w cleanWriter) write(text []byte, allowed []string) (int, error) {
	rest, out := string(text), strings.Builder{}
	for rest != "" {
		at, sequence := nextOf(rest, allowed)
		out.WriteString(cleaned(rest[:at], func(r rune) string {
			if r == '\n' || r == '\t' {
				return string(r)
			}
			return ""
		}))
		out.WriteString(sequence)
		rest = rest[at+len(sequence):]
	}
	if _, err := io.WriteString(w.to, out.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// nextOf finds the first of the sequences, or the end of the text.
func nextOf(text string, sequences []string) (at int, sequence string) {
	at = len(text)
	for _, s := range sequences {
		if i := strings.Index(text, s); i >= 0 && i < at {
			at, sequence = i, s
		}
	}
	return at, sequence
}

// Unwrap returns the stream itself, which may be a terminal.
func (w cleanWriter) Unwrap() io.Writer { return w.to }
