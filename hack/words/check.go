package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// finding is an occurrence of a dropped word.
type finding struct {
	file string
	line int // 0 for the name of the file
	text string
	// context is the line, or the name, that the word is part of.
	context string
	rule    *rule
}

func (f finding) String() string {
	at := f.file
	if f.line > 0 {
		at += ":" + strconv.Itoa(f.line)
	}
	return fmt.Sprintf("%s: %q: write %s", at, f.text, f.rule.instead)
}

// readers read the files whose text is checked, by the end of the name.
var readers = map[string]func(file, text string, v *vocabulary) ([]finding, error){
	".go":       checkGo,
	".proto":    checkProto,
	".md":       checkText,
	".yaml":     checkText,
	".yml":      checkText,
	".sh":       checkText,
	".conf":     checkText,
	".cfg":      checkText,
	".lua":      checkText,
	"Makefile":  checkText,
	"ci/run":    checkText,
	"Caddyfile": checkText,
}

// isGenerated reports whether a program writes the file, from sources that are read.
func isGenerated(file, text string) bool {
	head, _, _ := strings.Cut(text, "\npackage ")
	return strings.HasPrefix(file, "config/crd/bases/") || strings.HasPrefix(file, "charts/keyward/templates/crds/") ||
		strings.HasPrefix(file, "charts/keyward/files/") ||
		strings.HasSuffix(file, ".go") && strings.Contains(head, "DO NOT EDIT.")
}

// checkFile finds the dropped words in the name of a file and, where it is of a kind that is read, in its text.
func checkFile(file, text string, v *vocabulary) ([]finding, error) {
	if isGenerated(file, text) || strings.Contains(file, "testdata/fuzz/") {
		return nil, nil
	}
	found := inName(file, 0, strings.TrimSuffix(path.Base(file), path.Ext(file)), v)
	if dir := path.Base(path.Dir(file)); dir != "." {
		found = append(found, inName(file, 0, dir, v)...)
	}
	for end, read := range readers {
		if strings.HasSuffix(file, end) {
			more, err := read(file, text, v)
			return append(found, more...), err
		}
	}
	return found, nil
}

// checkText finds dropped words in a document or a configuration, also in one that a line break divides.
func checkText(file, text string, v *vocabulary) ([]finding, error) {
	return inText(file, 1, text, v), nil
}

// protoName is what a .proto file declares: a message, an enum, a service, a method or a field.
var protoName = regexp.MustCompile(
	`(?m)^\s*(?:message|enum|service|rpc|oneof|(?:repeated |optional )?[\w.]+(?:<[^>]*>)?)\s+(\w+)\s*(?:=|\{|\()`)

// checkProto reads a .proto file: the names that it declares, and all of it as prose.
func checkProto(file, text string, v *vocabulary) ([]finding, error) {
	found := inText(file, 1, text, v)
	for _, at := range protoName.FindAllStringSubmatchIndex(text, -1) {
		found = append(found, inName(file, 1+strings.Count(text[:at[2]], "\n"), text[at[2]:at[3]], v)...)
	}
	return found, nil
}

// checkGo reads a Go file: the names that it declares, its comments and its texts. Names that it only uses may be
// another module's, and are found where they are declared if they are not.
func checkGo(file, text string, v *vocabulary) ([]finding, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	line := func(at token.Pos) int { return files.Position(at).Line }

	var found []finding
	for _, group := range parsed.Comments {
		from, to := files.Position(group.Pos()).Offset, files.Position(group.End()).Offset
		found = append(found, inText(file, line(group.Pos()), text[from:to], v)...)
	}
	declared := func(names ...*ast.Ident) {
		for _, name := range names {
			if name != nil {
				found = append(found, inName(file, line(name.Pos()), name.Name, v)...)
			}
		}
	}
	assigned := func(by token.Token, names ...ast.Expr) {
		for _, name := range names {
			if ident, ok := name.(*ast.Ident); ok && by == token.DEFINE {
				declared(ident)
			}
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.File:
			declared(n.Name)
		case *ast.ImportSpec:
			declared(n.Name)
			return false // its path is the name of a directory
		case *ast.FuncDecl:
			declared(n.Name)
		case *ast.TypeSpec:
			declared(n.Name)
		case *ast.ValueSpec:
			declared(n.Names...)
		case *ast.Field:
			declared(n.Names...)
		case *ast.LabeledStmt:
			declared(n.Label)
		case *ast.AssignStmt:
			assigned(n.Tok, n.Lhs...)
		case *ast.RangeStmt:
			assigned(n.Tok, n.Key, n.Value)
		case *ast.BasicLit:
			if value, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
				if n.Value[0] == '"' { // its line breaks are none of the file's
					value = strings.ReplaceAll(value, "\n", " ")
				}
				found = append(found, inText(file, line(n.Pos()), value, v)...)
			}
		}
		return true
	})
	slices.SortStableFunc(found, func(a, b finding) int { return a.line - b.line })
	return found, nil
}

var (
	// camelCase is a name of more than one word in a text.
	camelCase = regexp.MustCompile(`\b[A-Za-z]*[a-z][A-Z][A-Za-z]*\b`)
	// leaders are what comments begin with, at the beginning of a line.
	leaders = regexp.MustCompile(`(?m)^[ \t]*(?://|#|/\*|\*|--|>)+`)
)

// splitName returns the words of a name, which is in camel case or has other characters between words, in lower case.
func splitName(name string) string {
	var words strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if !unicode.IsLetter(r) {
			words.WriteByte(' ')
			continue
		}
		// A word begins after a lower-case letter (fellSilent), or with the last of several upper-case letters (HTTPServer).
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			words.WriteByte(' ')
		}
		words.WriteRune(unicode.ToLower(r))
	}
	return strings.Join(strings.Fields(words.String()), " ")
}

// inName finds dropped words among the words of a name.
func inName(file string, line int, name string, v *vocabulary) []finding {
	var found []finding
	for _, r := range v.inName(name) {
		found = append(found, finding{file: file, line: line, text: name, context: name, rule: r})
	}
	return found
}

// inText finds dropped words in prose that begins at a line of a file, and in the names that it mentions.
func inText(file string, first int, text string, v *vocabulary) []finding {
	// A comment leader in the middle of a sentence becomes blank, so that offsets stay the same.
	text = leaders.ReplaceAllStringFunc(text, func(leader string) string { return strings.Repeat(" ", len(leader)) })
	lineAt := func(offset int) int { return first + strings.Count(text[:offset], "\n") }
	var found []finding
	for _, r := range v.inProse(text) {
		for _, at := range r.prose.FindAllStringIndex(text, -1) {
			from, to := strings.LastIndexByte(text[:at[0]], '\n')+1, len(text)
			if end := strings.IndexByte(text[at[1]:], '\n'); end >= 0 {
				to = at[1] + end
			}
			found = append(found, finding{
				file: file, line: lineAt(at[0]), text: strings.Join(strings.Fields(text[at[0]:at[1]]), " "),
				context: strings.Join(strings.Fields(text[from:to]), " "), rule: r,
			})
		}
	}
	for _, at := range camelCase.FindAllStringIndex(text, -1) {
		if name := text[at[0]:at[1]]; len(v.inName(name)) > 0 { // counting lines takes longer
			found = append(found, inName(file, lineAt(at[0]), name, v)...)
		}
	}
	return found
}
