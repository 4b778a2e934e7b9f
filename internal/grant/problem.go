package grant

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Problem is one reason why an object is not accepted as it is.
type Problem struct {
	// Reason is a condition reason of v1alpha1.
	Reason string
	// Type is how admission classifies the problem; empty is Invalid.
	Type field.ErrorType
	// Field is the path of the field to fix, such as spec.projects[1].
	Field string
	// Value is what the field has, where it helps to repeat that; nil is not shown.
	Value any
	// Message says what is wrong and how to fix it, without the field's path.
	Message string
}

// Error returns the problem in one line, field first, as conditions and events show it.
func (p *Problem) Error() string { return p.Field + ": " + p.Message }

// maxShown is how many bytes of a path, of a value and of a message an answer of admission repeats.
const maxShown = 1024

// FieldError returns the problem as admission reports it.
func (p *Problem) FieldError() *field.Error {
	result := &field.Error{Type: p.Type, Field: shown(p.Field), BadValue: p.Value, Detail: shown(p.Message)}
	if result.Type == "" {
		result.Type = field.ErrorTypeInvalid
	}
	if text, isText := p.Value.(string); isText {
		result.BadValue = shown(text)
	} else if p.Value == nil {
		result.BadValue = field.OmitValueType{}
	}
	return result
}

func shown(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}

// maxProblems is how many problems of one object are reported: its author decides how many there are.
const maxProblems = 20

// Problems are all problems of an object, in the order of the checks.
type Problems []*Problem

// First returns the first problem, which is the one that conditions report, or nil.
func (p Problems) First() *Problem {
	if len(p) == 0 {
		return nil
	}
	return p[0]
}

// full reports whether there are more problems than are reported, so that it is useless to look for others.
func (p Problems) full() bool { return len(p) > maxProblems }

// ErrorList returns the problems as admission reports them: at most 20, and one entry more where there are more problems.
func (p Problems) ErrorList() field.ErrorList {
	list := make(field.ErrorList, 0, min(len(p), maxProblems+1))
	for i, problem := range p {
		if i == maxProblems {
			return append(list, field.Invalid(field.NewPath("spec"), field.OmitValueType{},
				fmt.Sprintf("and more than these %d; fix them first", maxProblems)))
		}
		list = append(list, problem.FieldError())
	}
	return list
}

// invalid returns a problem of the reason InvalidSpec; a nil value is not repeated.
func invalid(path string, value any, message string) *Problem {
	return &Problem{Reason: v1alpha1.ReasonInvalidSpec, Type: field.ErrorTypeInvalid, Field: path, Value: value, Message: message}
}

// invalidSpec returns what a validation found, as problems of the reason InvalidSpec.
func invalidSpec(list field.ErrorList) Problems {
	problems := make(Problems, 0, len(list))
	for _, e := range list {
		problem := invalid(e.Field, e.BadValue, e.Detail)
		problem.Type = e.Type
		problems = append(problems, problem)
	}
	return problems
}
