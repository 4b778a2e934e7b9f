package grant

import (
	"encoding/json"
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
	// Elsewhere reports whether a change of another object would end the problem. Admission warns of it only, because the
	// other object may be changed a moment later, even from the same directory.
	Elsewhere bool
	// Message says what is wrong and how to fix it, without the field's path.
	Message string
}

// Error returns the problem in one line, field first, as conditions and events show it.
func (p *Problem) Error() string { return p.Field + ": " + p.Message }

// Bounds of what admission reports of one object: its author decides how many problems there are, and how long texts are.
const (
	maxProblems = 20
	// maxPath, maxValue and maxMessage are in bytes.
	maxPath, maxValue, maxMessage = 256, 256, 512
	// maxReport is how many bytes all problems may have together as JSON. They are sent twice, as one text and one by one,
	// and both have to fit into a response, which the admission server limits to 64 KiB.
	maxReport = 24 << 10
)

// FieldError returns the problem as admission reports it.
func (p *Problem) FieldError() *field.Error {
	result := &field.Error{Type: p.Type, Field: shown(p.Field, maxPath), BadValue: p.Value, Detail: shown(p.Message, maxMessage)}
	if result.Type == "" {
		result.Type = field.ErrorTypeInvalid
	}
	if text, isText := p.Value.(string); isText {
		result.BadValue = shown(text, maxValue)
	} else if p.Value == nil {
		result.BadValue = field.OmitValueType{}
	}
	return result
}

// shown leaves out the middle of a text that is too long.
func shown(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most/2], "") + "…" + strings.ToValidUTF8(text[len(text)-most/2:], "")
}

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
	size := 0
	for i, problem := range p {
		reported := problem.FieldError()
		encoded, _ := json.Marshal(reported.Error()) // a string does not fail
		if size += len(encoded); i == maxProblems || size > maxReport {
			return append(list, field.Invalid(field.NewPath("spec"), field.OmitValueType{},
				fmt.Sprintf("and more than these %d; fix them first", i)))
		}
		list = append(list, reported)
	}
	return list
}

// Split separates the problems that only a change of the object itself ends from those that a change of another object would
// end, too.
func (p Problems) Split() (own, elsewhere Problems) {
	for _, problem := range p {
		if problem.Elsewhere {
			elsewhere = append(elsewhere, problem)
		} else {
			own = append(own, problem)
		}
	}
	return own, elsewhere
}

// Warnings returns the problems as admission warns of them: at most 20, and one more text where there are more.
func (p Problems) Warnings() []string {
	texts := make([]string, 0, min(len(p), maxProblems+1))
	for i, problem := range p {
		if i == maxProblems {
			return append(texts, fmt.Sprintf("and more than these %d", i))
		}
		texts = append(texts, shown(problem.Field, maxPath)+": "+shown(problem.Message, maxMessage))
	}
	return texts
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
