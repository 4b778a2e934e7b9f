package publish

import (
	"slices"
	"unicode/utf8"

	"github.com/keyward-dev/keyward/controllers/session"
)

// server identifies a server by its authenticated identity. Connections of the same server have equal values.
type server struct {
	session.ID

	owner string // the identity in a readable form
}

// maxName is the maximum length of a name in status, in characters.
const maxName = 253

// naming counts how many servers of a group have the same instance name. Where it is more than one, the owner is added to
// distinguish them.
type naming map[string]int

func (n naming) note(servers ...server) naming {
	for _, s := range servers {
		n[s.Instance]++
	}
	return n
}

func (n naming) of(servers []server) (names []string) {
	for _, s := range servers {
		name := s.Instance
		if n[name] > 1 && s.owner != "" {
			owner := cut(s.owner, maxName/2)
			name = cut(name, maxName-len(" ()")-utf8.RuneCountInString(owner)) + " (" + owner + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// cut keeps the end of a text that is too long: names of Pods differ at the end.
func cut(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return "…" + string(runes[len(runes)-most+1:])
}
