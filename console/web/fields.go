package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of fields, in characters and entries; those of the API types, or tighter.
const (
	mostName        = 253
	mostNamespace   = 63
	mostGroup       = 317 // a namespace, a slash and a name
	mostGroupSearch = 317 // a namespace, a slash and a name
	mostDescription = 500
	mostUseCase     = 500
	mostLifetime    = 32
	mostNameText    = 4096 // 64 names, one a line
	mostWhy         = 500
	mostProjects    = 64
	mostPermissions = 33
	mostAddresses   = 64
	mostAddressText = 4096
	mostDomains     = 256
	mostDomainText  = 70_000 // more than a form may have
	mostSite        = 272
	mostVersion     = 128
	mostActor       = 1024
	mostDay         = 10
	mostMonth       = 7
	mostChoice      = 63
	mostTypes       = 32
	mostCursor      = 4096
	mostOrder       = 16
)

// fields reads a form, and remembers which of its fields are not good. Fields that are not read are ignored; of a field that is sent several times,
// and has one value, the first counts.
type fields struct {
	sent   url.Values
	errors map[string]string
}

func read(sent url.Values) *fields { return &fields{sent: sent, errors: map[string]string{}} }

func (f *fields) refuse(name, format string, args ...any) {
	if _, known := f.errors[name]; !known {
		f.errors[name] = fmt.Sprintf(format, args...)
	}
}

// check returns an error that says which fields are not good, or nil.
func (f *fields) check() error {
	if len(f.errors) == 0 {
		return nil
	}
	return &InvalidError{Fields: f.errors}
}

// text has one line.
func (f *fields) text(name string, most int) string {
	text := strings.TrimSpace(f.sent.Get(name))
	f.bound(name, text, most, false)
	return text
}

// prose may have several lines.
func (f *fields) prose(name string, most int) string {
	text := strings.TrimSpace(strings.ReplaceAll(f.sent.Get(name), "\r\n", "\n"))
	f.bound(name, text, most, true)
	return text
}

// lines has an entry in each line.
func (f *fields) lines(name string, most, characters int) []string {
	var entries []string
	for line := range strings.Lines(f.prose(name, characters)) {
		if line = strings.TrimSpace(line); line != "" {
			entries = append(entries, line)
		}
	}
	if len(entries) > most {
		f.refuse(name, "At most %d, one a line.", most)
	}
	return entries
}

// chosen has the values that were chosen, each once.
func (f *fields) chosen(name string, most int) []string {
	var values []string
	for _, value := range f.sent[name] {
		f.bound(name, value, mostChoice, false)
		if value != "" && !slices.Contains(values, value) {
			values = append(values, value)
		}
		if len(values) > most {
			f.refuse(name, "Choose at most %d.", most)
			return values[:most]
		}
	}
	return values
}

// names has names that were chosen, or written one a line, each once. All of them, so that the form can be shown again, also if they are too many.
func (f *fields) names(name string, most int) []string {
	var names []string
	left := mostNameText
	for _, sent := range f.sent[name] {
		f.bound(name, strings.ReplaceAll(sent, "\r\n", "\n"), left, true)
		left -= min(left, utf8.RuneCountInString(sent))
		for line := range strings.Lines(sent) {
			line = strings.TrimSpace(line)
			if line != "" && (len(names) > most || !slices.Contains(names, line)) {
				names = append(names, line)
			}
		}
	}
	if len(names) > most {
		f.refuse(name, "At most %d, one a line.", most)
	}
	return names
}

func (f *fields) bound(name, text string, most int, lines bool) {
	switch {
	case !utf8.ValidString(text):
		f.refuse(name, "This is not text.")
	case utf8.RuneCountInString(text) > most:
		f.refuse(name, "At most %d characters.", most)
	case strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && (!lines || c != '\n' && c != '\t') }):
		f.refuse(name, "It has characters that cannot be shown.")
	}
}

// refuse sets the error of a field of a page.
func refuse(into *string, errors map[string]string, name string) {
	if text := errors[name]; text != "" {
		*into = text
	}
}
