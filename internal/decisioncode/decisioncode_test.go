package decisioncode

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table into docs/decision-codes.md")

const (
	page = "../../docs/decision-codes.md"
	mark = "<!-- codes -->\n"
)

func TestEveryCodeIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, code := range All() {
		name := code.String()
		if name == "" || seen[name] || code.Status() == 0 || code.Title() == "" || code.Cause() == "" {
			t.Errorf("code %d: %+v", code, *code.row())
		}
		if code.Allows() == (code.Detail() != "") {
			t.Errorf("%s: detail %q", name, code.Detail())
		}
		if refused := code.Refuses(); refused != (code.Hint() != "") || refused != (code.Status() >= 400) {
			t.Errorf("%s: status %d, hint %q", name, code.Status(), code.Hint())
		}
		if got, ok := Parse(name); !ok || got != code {
			t.Errorf("%s is parsed as %v, %v", name, got, ok)
		}
		seen[name] = true
	}
	if Code(200).Status() < 400 {
		t.Error("a code that does not exist allows")
	}
	if code, ok := Parse("nothing"); ok {
		t.Errorf("an unknown name is %v", code)
	}
}

// TestClientsReadNoPlaceholders holds every text to the placeholders that its reader fills in: clients get titles and
// details literally.
func TestClientsReadNoPlaceholders(t *testing.T) {
	placeholder := regexp.MustCompile(`\{\w*\}`)
	known := []string{PlaceholderProject, PlaceholderOrigin, PlaceholderGroup, PlaceholderMethod, PlaceholderKey}
	for _, code := range All() {
		if found := placeholder.FindString(code.Title() + code.Detail()); found != "" {
			t.Errorf("%s: clients read %s", code, found)
		}
		for _, found := range placeholder.FindAllString(code.Cause()+code.Hint(), -1) {
			if !slices.Contains(known, found) {
				t.Errorf("%s: unknown placeholder %s", code, found)
			}
		}
	}
}

// TestFailedAttempts: every 401 is a failed attempt, and a denial that is not about the request's key, project or
// origin is none.
func TestFailedAttempts(t *testing.T) {
	for _, code := range All() {
		if status := code.Status(); status == 401 && !code.FailedAttempt() || status != 401 && status != 403 && code.FailedAttempt() {
			t.Errorf("%v: %v", code, code.FailedAttempt())
		}
	}
}

// TestPageDescribesEveryCode holds docs/decision-codes.md to the table: every code has a section at its Anchor.
func TestPageDescribesEveryCode(t *testing.T) {
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, got, ok := strings.Cut(string(written), mark)
	if !ok {
		t.Fatalf("%s has no line %q", page, mark)
	}
	want := sections()
	if *update {
		if err := os.WriteFile(page, []byte(before+mark+want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s differs from the table; go test ./internal/decisioncode -update writes it. It should be:\n%s", page, want)
	}
	for _, code := range All() {
		file, anchor, _ := strings.Cut(code.Anchor(), "#")
		if !strings.HasSuffix(page, "/"+file) || !strings.Contains(got, "### `"+anchor+"`\n") {
			t.Errorf("%s: there is no %s", code, code.Anchor())
		}
	}
}

// TestTableListsEveryCode holds the table of docs/api.md: every denial and the preflight have a row with their status.
func TestTableListsEveryCode(t *testing.T) {
	written, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d{3}) \\| (`[^|]*`) \\|").FindAllStringSubmatch(string(written), -1) {
		for name := range strings.SplitSeq(row[2], ", ") {
			listed[strings.Trim(name, "`")] = row[1]
		}
	}
	for _, code := range All() {
		if code != Allowed && listed[code.String()] != strconv.Itoa(code.Status()) {
			t.Errorf("%s: status %q, want %d", code, listed[code.String()], code.Status())
		}
	}
}

// sections returns the part of the page that is made from the table.
func sections() string {
	var b strings.Builder
	for _, code := range All() {
		fmt.Fprintf(&b, "\n### `%s`\n\n%d %s.", code, code.Status(), code.Title())
		if code.Detail() != "" {
			b.WriteString(" The client reads:\n\n" + wrap("> ", code.Detail()))
		}
		b.WriteString("\n\n" + wrap("", code.Cause()+" "+code.Hint()) + "\n")
		if code == OriginMissing {
			b.WriteString("\n" + missing())
		}
	}
	return b.String()
}

// missing returns what clients read in addition about a missing origin, as a table.
func missing() string {
	var b strings.Builder
	b.WriteString("What the client reads goes on, depending on the header `Sec-Fetch-Site` of browsers:\n\n| Sec-Fetch-Site | |\n|---|---|\n")
	for _, cause := range Causes() {
		value := "`" + cause.FetchSite + "`"
		if cause.FetchSite == "" {
			value = "(absent)"
		}
		b.WriteString("| " + value + " |" + strings.TrimPrefix(cause.Detail, OriginMissing.Detail()) + " |\n")
	}
	return b.String()
}

// TestMissingOriginNamesItsCause: each cause says more than the code, and what is no cause says the same.
func TestMissingOriginNamesItsCause(t *testing.T) {
	general := OriginMissing.Detail()
	for _, cause := range Causes() {
		if got := OriginMissing.DetailFor(cause.FetchSite); got != cause.Detail || got == general || !strings.HasPrefix(got, general) {
			t.Errorf("%q: %s", cause.FetchSite, got)
		}
		if OriginDenied.DetailFor(cause.FetchSite) != OriginDenied.Detail() {
			t.Errorf("%q is about another code", cause.FetchSite)
		}
	}
	if got := OriginMissing.DetailFor("same-origin, same-origin"); got != general {
		t.Error(got)
	}
}

// wrap breaks a text into lines that begin with a prefix. Placeholders such as <key> are no HTML in it, and those that
// the plugin fills in are words in italics.
func wrap(prefix, text string) string {
	text = strings.NewReplacer("<", `\<`, ">", `\>`, "{", "*", "}", "*").Replace(text)
	lines, line := []string{}, prefix
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == prefix:
			line += word
		case len(line)+1+len(word) > 120:
			lines, line = append(lines, line), prefix+word
		default:
			line += " " + word
		}
	}
	return strings.Join(append(lines, line), "\n")
}
