package decision

import "strings"

// ContextValues yields what the upstream of an allowed request gets: the values of the group's context, and in their place or
// between them those of the key's, sorted by name. It merges the two each time: merged values of every key would take
// memory for each, and would have to be made again with every change of the group. It allocates nothing, so it is a method to
// range over, and does not return one.
func (d *Decision) ContextValues(yield func(*ContextValue) bool) {
	group, key := d.Group.Context, d.Key.Scope.Context
	for len(group) > 0 || len(key) > 0 {
		order := 0
		switch {
		case len(key) == 0:
			order = -1
		case len(group) == 0:
			order = 1
		default:
			order = strings.Compare(group[0].Name, key[0].Name)
		}
		var value *ContextValue
		if order < 0 {
			value, group = &group[0], group[1:]
		} else {
			value, key = &key[0], key[1:]
			if order == 0 {
				group = group[1:]
			}
		}
		if !yield(value) {
			return
		}
	}
}
