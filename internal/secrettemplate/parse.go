package secrettemplate

import (
	"errors"
	"fmt"
	"strings"
	"text/template/parse"
)

// Bounds of one template, by which it is refused before it is parsed, or before it is executed.
const (
	maxActions   = 256     // {{ … }}
	maxAction    = 1 << 10 // bytes of one of them
	maxCalls     = 16      // of functions, in all of them
	maxPipeline  = 3       // of functions, one into the other
	maxNesting   = 8       // of if in if
	maxParenthes = 8       // of parentheses in parentheses
	maxShown     = 200     // bytes of it that a message repeats
)

const use = "use fields, if and else, and the functions b64enc, quote and urlquery"

// parseEntry parses a template, and refuses every construct but those that can be rendered.
func parseEntry(text string) (*parse.ListNode, error) {
	if err := measure(text); err != nil {
		return nil, err
	}
	tree, trees := parse.New("entry"), map[string]*parse.Tree{}
	tree.Mode = parse.SkipFuncCheck // the checker has a better message for it
	if _, err := tree.Parse(text, "", "", trees); err != nil {
		return nil, errors.New(shown(strings.TrimPrefix(err.Error(), "template: ")))
	}
	if len(trees) > 1 || trees["entry"] != tree {
		return nil, errors.New("nested templates are not supported; " + use)
	}
	c := checker{}
	if err := c.list(tree.Root, 0); err != nil {
		return nil, err
	}
	return tree.Root, nil
}

// measure refuses a template with too many or too large actions, since they determine the cost of parsing.
// All that it knows of the language is where an action ends.
func measure(text string) error {
	for actions := 0; ; actions++ {
		start := strings.Index(text, "{{")
		if start < 0 {
			return nil
		}
		if actions == maxActions {
			return fmt.Errorf("there are more than %d actions {{ … }}; use fewer", maxActions)
		}
		text = text[start:]
		end := actionEnd(text)
		if end > maxAction && !isComment(text) {
			return fmt.Errorf("an action has more than %d bytes: %s; shorten it", maxAction, shown(text))
		}
		text = text[end:]
	}
}

func isComment(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, "{- \t\r\n"), "/*")
}

// actionEnd returns the length of the action that the text begins with; the whole length where it has no end.
func actionEnd(text string) int {
	if isComment(text) {
		if end := strings.Index(text, "*/"); end >= 0 {
			return end + len("*/")
		}
		return len(text)
	}
	for i := len("{{"); i < len(text); i++ {
		switch c := text[i]; c {
		case '}':
			if strings.HasPrefix(text[i:], "}}") {
				return i + len("}}")
			}
		case '"', '\'', '`':
			for i++; i < len(text) && text[i] != c; i++ {
				if text[i] == '\\' && c != '`' {
					i++
				}
			}
		}
	}
	return len(text)
}

// checker counts what is bounded for a whole template.
type checker struct{ calls int }

func (c *checker) list(list *parse.ListNode, depth int) error {
	if list == nil {
		return nil
	}
	if depth > maxNesting {
		return fmt.Errorf("there are more than %d if in one another; use fewer", maxNesting)
	}
	for _, node := range list.Nodes {
		if err := c.node(node, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) node(node parse.Node, depth int) error {
	switch n := node.(type) {
	case *parse.TextNode, *parse.CommentNode:
		return nil
	case *parse.ActionNode:
		_, err := c.pipe(n.Pipe, 0)
		return err
	case *parse.IfNode:
		if _, err := c.pipe(n.Pipe, 0); err != nil {
			return err
		}
		if err := c.list(n.List, depth+1); err != nil {
			return err
		}
		return c.list(n.ElseList, depth+1)
	default:
		return unsupported(node)
	}
}

// pipe returns how many functions the pipeline calls, including those of pipelines in it.
func (c *checker) pipe(pipe *parse.PipeNode, depth int) (calls int, err error) {
	if depth > maxParenthes {
		return 0, fmt.Errorf("there are more than %d parentheses in one another; use fewer", maxParenthes)
	}
	if len(pipe.Decl) > 0 {
		return 0, errors.New("variables are not supported; " + use)
	}
	for i, command := range pipe.Cmds {
		of := command.Args
		if function, isCall := of[0].(*parse.IdentifierNode); isCall {
			if functions[function.Ident] == nil {
				return 0, fmt.Errorf("%s is not a function here; use b64enc, quote or urlquery", shown(function.Ident))
			}
			c.calls++
			calls++
			of = of[1:]
			if given := len(of) + min(i, 1); given != 1 {
				return 0, fmt.Errorf("%s takes one text, and is given %d", function.Ident, given)
			}
		} else if len(of) > 1 || i > 0 {
			return 0, fmt.Errorf("%s takes no argument; it is not a function", shown(of[0].String()))
		}
		for _, node := range of {
			nested, err := c.operand(node, depth)
			if err != nil {
				return 0, err
			}
			calls += nested
		}
		if calls > maxPipeline {
			return 0, fmt.Errorf("a pipeline has more than %d functions; use fewer", maxPipeline)
		}
		if c.calls > maxCalls {
			return 0, fmt.Errorf("functions are called more than %d times; use fewer", maxCalls)
		}
	}
	return calls, nil
}

func (c *checker) operand(node parse.Node, depth int) (calls int, err error) {
	switch n := node.(type) {
	case *parse.StringNode:
		return 0, nil
	case *parse.PipeNode:
		return c.pipe(n, depth+1)
	case *parse.FieldNode:
		if len(n.Ident) == 1 && isVariable(n.Ident[0]) {
			return 0, nil
		}
		return 0, fmt.Errorf("%s is not a field; use %s", shown(n.String()), variableList())
	default:
		return 0, unsupported(node)
	}
}

func unsupported(node parse.Node) error {
	return fmt.Errorf("%s is not supported; %s", shown(node.String()), use)
}

// shown returns as much of a text as messages repeat to its author, and in a status.
func shown(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}
