package web

import (
	"context"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Bounds of what the API server warns of, as it is shown: warnings of one form, and characters of each.
const (
	mostWarnings    = 5
	mostWarningText = 600
	moreWarnings    = "There are more warnings."
)

// warnings are those of one request, each once.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

type warningsKey struct{}

// Warn has the person whose request a context is of read a warning of the API server, as kubectl prints it: on the page that answers a form, or on the one that
// follows. It does nothing for other requests.
func Warn(ctx context.Context, text string) {
	all, ok := ctx.Value(warningsKey{}).(*warnings)
	if !ok {
		return
	}
	text = strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "\uFFFD")))
	if runes := []rune(text); len(runes) > mostWarningText {
		text = string(runes[:mostWarningText]) + "…"
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case text == "" || len(all.texts) > mostWarnings || slices.Contains(all.texts, text):
	case len(all.texts) == mostWarnings:
		all.texts = append(all.texts, moreWarnings)
	default:
		all.texts = append(all.texts, text)
	}
}

// warned are the warnings of a request so far.
func warned(ctx context.Context) []string {
	all, ok := ctx.Value(warningsKey{}).(*warnings)
	if !ok {
		return nil
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	return slices.Clone(all.texts)
}
