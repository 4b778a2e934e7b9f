package plugin

import "github.com/keyward-dev/keyward/internal/decisioncode"

// explain returns the cause of a decision and a hint for whoever looks after the keys, both filled in with what the
// decision was about. key is how the ApiKey is named on a command line, if it is known.
func (d *ruling) explain(key string) (cause, hint string) {
	code, ok := decisioncode.Parse(d.Code)
	if !ok {
		return "This plugin does not know the code; a newer one may.", ""
	}
	return code.Explain(decisioncode.Values{
		Project: or(d.Project, "(none)"), Origin: or(d.Origin, "this origin"), Group: or(d.Group, "(unknown)"),
		Method: or(d.Method, "this method"), Key: or(key, "KEY"),
	})
}

// refused reports whether the request was refused.
func (d *ruling) refused() bool {
	code, known := decisioncode.Parse(d.Code)
	return !known || code.Refuses()
}
