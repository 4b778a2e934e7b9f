package secrettemplate

import "strings"

// Variable is a value that templates may use.
type Variable struct {
	// Name is the one that templates use, after a dot.
	Name string
	// Description says for the documentation what the value is, and Example what one looks like.
	Description, Example string

	value func(*Values) string
}

// variables is all there is to know about variables: checking, rendering, messages and documentation follow from it.
var variables = []Variable{
	{
		"Key", "the text of the key", "kw_3mY8bQ…",
		func(v *Values) string { return v.Key() },
	},
	{
		"KeyID", "the id of the ApiKey in logs and headers", "k5u0ev2qr8h1c9g7a",
		func(v *Values) string { return v.KeyID },
	},
	{
		"Name", "the name of the ApiKey", "web",
		func(v *Values) string { return v.Name },
	},
	{
		"Namespace", "the namespace of the ApiKey", "shop",
		func(v *Values) string { return v.Namespace },
	},
	{
		"Group", "the namespace and the name of the Group", "tenants/acme",
		func(v *Values) string { return v.Group },
	},
	{
		"Projects", "the projects of the ApiKey, with commas between them", "marketing,product",
		func(v *Values) string { return strings.Join(v.Projects, ",") },
	},
	{
		"ExpiresAt", "when this version of the key expires, as RFC 3339 in UTC; empty where it never does", "2027-02-19T12:00:00Z",
		func(v *Values) string { return v.ExpiresAt },
	},
}

// Variables returns what templates may use, in the order of the documentation.
func Variables() []Variable { return variables }

func isVariable(name string) bool {
	for i := range variables {
		if variables[i].Name == name {
			return true
		}
	}
	return false
}

// variableList is for messages.
func variableList() string {
	names := make([]string, 0, len(variables))
	for i := range variables {
		names = append(names, "."+variables[i].Name)
	}
	return strings.Join(names, ", ")
}

// byName returns the values as templates see them.
func (v *Values) byName() map[string]string {
	values := make(map[string]string, len(variables))
	for i := range variables {
		values[variables[i].Name] = variables[i].value(v)
	}
	return values
}
