package publish

import (
	"slices"
	"unicode/utf8"
)

// server is who is at the other end, by what it has proved; connections of the same server are equal in it.
type server struct {
	instance, identity string
	owner              string // the identity as people read it
}

// maxName is how long a name in status may be, in characters.
const maxName = 253

// naming counts how many servers of a group have an instance's name: where it is more than one, it takes the owner
// to tell them apart.
type naming map[string]int

func (n naming) note(servers ...server) naming {
	for _, s := range servers {
		n[s.instance]++
	}
	return n
}

func (n naming) of(servers []server) (names []string) {
	for _, s := range servers {
		name := s.instance
		if n[name] > 1 && s.owner != "" {
			owner := cut(s.owner, maxName/2)
			name = cut(name, maxName-len(" ()")-utf8.RuneCountInString(owner)) + " (" + owner + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// cut leaves the end of what is too long, which is what tells Pods apart.
func cut(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return "…" + string(runes[len(runes)-most+1:])
}
