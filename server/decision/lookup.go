package decision

import (
	"iter"
	"slices"

	"github.com/keyward-dev/keyward/internal/origin"
)

// ProjectNamed returns the project of that name, or nil.
func (g *Group) ProjectNamed(name string) *Project {
	for i := range g.Projects {
		if g.Projects[i].Name == name {
			return &g.Projects[i]
		}
	}
	return nil
}

// All returns all patterns of the project.
func (o *Origins) All() iter.Seq[origin.Pattern] {
	return func(yield func(origin.Pattern) bool) {
		for _, patterns := range slices.Concat([][]origin.Pattern{o.Patterns}, o.Shared) {
			for _, pattern := range patterns {
				if !yield(pattern) {
					return
				}
			}
		}
	}
}
