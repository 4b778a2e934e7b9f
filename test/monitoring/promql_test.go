package monitoring

import (
	"regexp"
	"slices"
	"strings"
)

// selector is a metric in a PromQL expression, with the labels that it is selected by and their values.
type selector struct {
	metric string
	labels map[string]string
}

// expression is what tests have to know of PromQL: promtool checks the rest.
type expression struct {
	selectors []selector
	grouped   []string // labels in by, on and group_left
	replaced  []string // labels that label_replace makes
}

var (
	token       = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\$?[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9][0-9a-z.]*|=~|!~|!=|==|>=|<=|\S`)
	isName      = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	grouping    = []string{"by", "on", "without", "ignoring", "group_left", "group_right"}
	operators   = []string{"and", "or", "unless", "bool", "offset", "Inf", "NaN"}
	comparisons = []string{"=", "!=", "=~", "!~"}
)

// parseExpression reads an expression that promtool accepts.
func parseExpression(text string) (e expression) {
	tokens := token.FindAllString(text, -1)
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	for i := 0; i < len(tokens); i++ {
		switch name := tokens[i]; {
		case name == "[": // a range
			for at(i) != "]" {
				i++
			}
		case !isName.MatchString(name) || slices.Contains(operators, name):
		case slices.Contains(grouping, name):
			for i += 2; at(i) != ")"; i++ {
				if isName.MatchString(at(i)) {
					e.grouped = append(e.grouped, at(i))
				}
			}
		case at(i+1) == "by" || at(i+1) == "without": // sum by (label) (…)
		case at(i+1) == "(":
			if name == "label_replace" {
				e.replaced = append(e.replaced, replacedIn(tokens[i:]))
			}
		default:
			s := selector{metric: name, labels: map[string]string{}}
			if at(i+1) == "{" {
				for i += 2; at(i) != "}"; i++ {
					if slices.Contains(comparisons, at(i+1)) {
						s.labels[at(i)] = strings.Trim(at(i+2), `"`)
						i += 2
					}
				}
			}
			e.selectors = append(e.selectors, s)
		}
	}
	return e
}

// replacedIn returns the first string in the tokens, which is the label that label_replace makes.
func replacedIn(tokens []string) string {
	for i, t := range tokens {
		if strings.HasPrefix(t, `"`) && i > 0 && tokens[i-1] == "," {
			return strings.Trim(t, `"`)
		}
	}
	return ""
}
