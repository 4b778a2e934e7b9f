package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/internal/decisioncode"
)

const problems = "problems/"

var address = regexp.MustCompile(`https://keyward\.dev/(?:docs|problems)/[A-Za-z0-9_/#.-]*[A-Za-z0-9_/]`)

// Addresses returns the addresses of the site that the programs, the manifests and the configurations have, with that of every problem.
func Addresses(root string) ([]string, error) {
	codes, err := Codes(root)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, code := range codes {
		found[base+problems+code] = true
	}
	for _, dir := range []string{"api", "charts", "cmd", "config", "controllers", "internal", "server", "webhook"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, a := range address.FindAllString(string(text), -1) {
				if a != base+problems { // in front of a code
					found[a] = true
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	all := make([]string, 0, len(found))
	for a := range found {
		all = append(all, a)
	}
	slices.Sort(all)
	return all, nil
}

// Codes returns the codes of all problems that the validation server can answer: of decisions, and what the calls of NewProblem name.
func Codes(root string) ([]string, error) {
	var codes []string
	for _, code := range decisioncode.All() {
		codes = append(codes, code.String())
	}
	err := filepath.WalkDir(filepath.Join(root, "server"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		named, err := problemsOf(path)
		codes = append(codes, named...)
		return err
	})
	slices.Sort(codes)
	return slices.Compact(codes), err
}

// problemsOf returns the codes of the problems that a package makes.
func problemsOf(dir string) (codes []string, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	constants := map[string]string{}
	var arguments []ast.Expr
	positions := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(positions, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.ValueSpec:
				for i, value := range node.Values {
					if text, ok := literal(value); ok {
						constants[node.Names[i].Name] = text
					}
				}
			case *ast.CallExpr:
				if called(node.Fun) == "NewProblem" && len(node.Args) > 1 {
					arguments = append(arguments, node.Args[1])
				}
			}
			return true
		})
	}
	for _, argument := range arguments {
		text, ok := literal(argument)
		if name, is := argument.(*ast.Ident); is {
			text, ok = constants[name.Name], constants[name.Name] != ""
		}
		switch call, isCall := argument.(*ast.CallExpr); {
		case ok:
			codes = append(codes, text)
		case isCall && called(call.Fun) == "String": // of a decision
		default:
			return nil, fmt.Errorf("%s: the code of the problem has to be a constant, so that it can have its page", positions.Position(argument.Pos()))
		}
	}
	return codes, nil
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	return constant.StringVal(constant.MakeFromLiteral(l.Value, token.STRING, 0)), true
}

// called returns the name of a function, without its package.
func called(function ast.Expr) string {
	switch function := function.(type) {
	case *ast.Ident:
		return function.Name
	case *ast.SelectorExpr:
		return function.Sel.Name
	default:
		return ""
	}
}
