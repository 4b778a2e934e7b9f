package secrettemplate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"text/template/parse"
)

// functions are those that templates may call, each with one text. Their argument has at most MaxSize bytes,
// and their result at most six times as many as their argument.
var functions = map[string]func(string) string{
	"b64enc":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"quote":    quote,
	"urlquery": url.QueryEscape,
}

// renderer executes templates that parseEntry has accepted.
type renderer struct {
	values map[string]string
	left   int // of MaxWork
}

// output is an entry. It refuses text that would make it too large.
type output struct{ text []byte }

func (o *output) write(text string) error {
	if len(o.text)+len(text) > MaxSize {
		return errSize
	}
	o.text = append(o.text, text...)
	return nil
}

func (r *renderer) spend(text string) error {
	if r.left -= len(text); r.left < 0 {
		return errWork
	}
	return nil
}

func (r *renderer) list(out *output, list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		if err := r.node(out, node); err != nil {
			return err
		}
	}
	return nil
}

func (r *renderer) node(out *output, node parse.Node) error {
	text := ""
	switch n := node.(type) {
	case *parse.TextNode:
		text = string(n.Text)
	case *parse.ActionNode:
		value, err := r.pipe(n.Pipe)
		if err != nil {
			return err
		}
		text = value
	case *parse.IfNode:
		condition, err := r.pipe(n.Pipe)
		switch {
		case err != nil:
			return err
		case condition != "":
			return r.list(out, n.List)
		default:
			return r.list(out, n.ElseList)
		}
	default:
		return errForm
	}
	if err := r.spend(text); err != nil {
		return err
	}
	return out.write(text)
}

func (r *renderer) pipe(pipe *parse.PipeNode) (value string, err error) {
	for i, command := range pipe.Cmds {
		function, isCall := command.Args[0].(*parse.IdentifierNode)
		operand := command.Args[0]
		if isCall {
			operand = command.Args[len(command.Args)-1]
		}
		if !isCall || i == 0 {
			if value, err = r.operand(operand); err != nil {
				return "", err
			}
		}
		if !isCall {
			continue
		}
		if len(value) > MaxSize {
			return "", errSize
		}
		value = functions[function.Ident](value)
		if err := r.spend(value); err != nil {
			return "", err
		}
	}
	return value, nil
}

func (r *renderer) operand(node parse.Node) (string, error) {
	switch n := node.(type) {
	case *parse.StringNode:
		return n.Text, nil
	case *parse.FieldNode:
		return r.values[n.Ident[0]], nil
	case *parse.PipeNode:
		return r.pipe(n)
	default:
		return "", errForm
	}
}

// quote returns the text as a JSON string.
func quote(s string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return "" // a string does not fail
	}
	return string(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}
