package page

import "io"

// Input is a field of a form.
type Input struct{ Value, Error string }

// Choice is one of several values of a field.
type Choice struct {
	Value, Text string
	Chosen      bool
	Recommended bool
}

// Choices is a field with several values to choose from.
type Choices struct {
	Of    []Choice
	Error string
}

// Create is the form for a new key.
type Create struct {
	Action, Back string
	Problem      string // why the last attempt failed; empty: it did not, or its fields say so
	Name         Input  // at most 253 characters
	Description  Input  // at most 500 characters
	Projects     Choices
	Permissions  Choices
	Clients      Choices
	Addresses    Input // at most 64 prefixes, one a line
	Lifetimes    Choices
	Rotations    Choices
	Reveals      Choices
	// YAML is the object that the form makes, as far as it is filled in; empty: it was not asked for.
	YAML string
}

// Write writes the page.
func (p Create) Write(to io.Writer, frame Frame) error { return render(to, "create", frame, p) }

// input is a field, and how it is shown.
type input struct {
	Name, Label, Help string
	Long, Code        bool // several lines; no spelling is checked
	Required          bool
	Most              int // characters
	Input
}

func newInput(name, label, help string, most int, kind string, of Input) input {
	return input{Name: name, Label: label, Help: help, Most: most, Long: kind == "lines" || kind == "text", Code: kind != "text",
		Required: kind == "name", Input: of}
}

// chooser is a field with choices, and how it is shown.
type chooser struct {
	Name, Label, Help string
	Type              string // checkbox or radio
	Choices
}

func newChooser(name, label, help, kind string, of Choices) chooser {
	return chooser{name, label, help, kind, of}
}
