package routing

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// characters are all characters that may occur in a path and are not ASCII.
func characters(yield func(rune) bool) {
	for c := rune(utf8.RuneSelf); c <= unicode.MaxRune; c++ {
		if utf8.ValidRune(c) && !yield(c) {
			return
		}
	}
}

// TestNoCharacterFoldsToAnotherPath checks all characters: a server that normalizes to NFKC must
// not interpret an allowed path as one that would have been refused, or as more or fewer segments.
func TestNoCharacterFoldsToAnotherPath(t *testing.T) {
	folding := 0
	for c := range characters {
		folded := norm.NFKC.String(string(c))
		if folded == string(c) {
			continue
		}
		folding++
		folded = strings.NewReplacer("\u2044", "x", "\u2215", "x").Replace(folded) // of 1/2, and m/s: they fold no further
		for _, reading := range []Reading{{}, {Parameters: true}, {IgnoreCase: true}} {
			for _, in := range []string{"a", ".", "..", "", "a:", "a b."} {
				for _, behind := range []string{"a", ".", "..", "", "$DATA", ";x", "/x"} {
					raw := "/x/" + in + string(c) + behind
					path, err := reading.Path(raw)
					if err != nil {
						continue
					}
					read := "/x/" + in + folded + behind
					if strings.ContainsAny(folded, `/\%?#`) || strings.Contains(folded, ";") && !reading.Parameters {
						t.Errorf("%+v, %U: %q is allowed as %q, and is read as %q", reading, c, raw, path, read)
					}
					if _, err := reading.check(read, false); err != nil {
						t.Errorf("%+v, %U: %q is allowed as %q, and read as %q: %v", reading, c, raw, path, read, err)
					}
				}
			}
		}
	}
	if folding < 1000 {
		t.Errorf("only %d characters fold", folding)
	}
}

// TestNoCharacterFoldsToOtherLetters checks all characters: where case is ignored, those that some
// server takes for letters of ASCII are folded to these, or refused.
func TestNoCharacterFoldsToOtherLetters(t *testing.T) {
	full, ignoring := cases.Fold(), Reading{IgnoreCase: true}
	ways := []func(string) string{full.String, norm.NFKC.String, strings.ToLower, strings.ToUpper,
		func(s string) string { return norm.NFKC.String(full.String(norm.NFKC.String(s))) }}
	folding := 0
	for c := range characters {
		forms := []string{string(c)}
		last := forms
		for range 2 { // one after the other, too
			var next []string
			for _, form := range last {
				for _, way := range ways {
					if other := way(form); other != form {
						next = append(next, other)
					}
				}
			}
			forms, last = append(forms, next...), next
		}
		for _, form := range forms {
			if !hasLetters(form) {
				continue
			}
			folding++
			path, err := ignoring.Path("/x" + string(c) + "x")
			if err == nil && path != "/x"+strings.ToLower(form)+"x" {
				t.Errorf("%U is allowed as %q, and some read it as %q", c, path, form)
			}
			break
		}
	}
	if folding < 1000 {
		t.Errorf("only %d characters fold", folding)
	}
}

// hasLetters reports whether a text is ASCII and has letters.
func hasLetters(s string) bool {
	return strings.ToLower(s) != strings.ToUpper(s) && strings.IndexFunc(s, func(c rune) bool { return c >= utf8.RuneSelf }) < 0
}

// TestLettersOfOtherAlphabets: where case is ignored, a character that may be taken for a letter of ASCII is owned like
// that letter, and other characters stay what they are.
func TestLettersOfOtherAlphabets(t *testing.T) {
	for raw, want := range map[string]string{
		"/\u0131nvoice": "/invoice", "/\u0130NVOICE": "/invoice", "/\uff33ecret": "/secret", "/\uff53ecret": "/secret",
		"/\u017fecret": "/secret", "/\u212aey": "/key", "/stra\u00dfe": "/strasse", "/STRA\u1e9eE": "/strasse",
		"/\U0001d4c8ecret": "", "/\ufb01le": "", "/\u24e2ecret": "", "/\u2122": "", "/\u00e9t\u00e9": "/\u00c9t\u00c9",
		"/\u8cc7\u6599": "/\u8cc7\u6599",
	} {
		got, err := Reading{IgnoreCase: true}.Path(raw)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v, want %q", raw, got, err, want)
		}
		if got, err := CanonicalPath(raw); got != raw || err != nil {
			t.Errorf("%q, with case: %q, %v", raw, got, err)
		}
	}
	m := mustCompile(t, Route{Paths: []string{"/Stra\u00dfe/*\u0131x"}})
	if _, ok := m.Match(&Request{Path: "/strasse/aix", IgnoreCase: true}); !ok {
		t.Error("a pattern is not folded alike")
	}
	site := Route{Query: map[string][]string{"siteId": {"42"}}}
	for _, raw := range []string{"siteId=42&site%C4%B1d=43", "siteId=42&SITE%C4%B0D=43", "siteId=42&%EF%BC%B3iteId=43"} {
		if got := outcomeOf(t, site, raw); got != doubtful {
			t.Errorf("%s: %d", raw, got)
		}
	}
}
