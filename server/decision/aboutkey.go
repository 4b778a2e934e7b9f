package decision

import (
	"slices"

	"github.com/keyward-dev/keyward/internal/origin"
)

// aboutKey decides a request that asks about the key itself, which belongs to no project. A page may ask if it may present
// the key to any project of the key; whoever asks without an Origin has the text, which is all that matters.
func (e *evaluation) aboutKey() Code {
	if e.request.claims != nil {
		return URLDenied // it is for content
	}
	if e.match.Key.Scope.Clients == ServerOnly && e.request.fromBrowser() {
		return ClientDenied
	}
	if e.request.Origin == "" {
		return Allowed
	}
	from, err := origin.Parse(e.request.Origin)
	if err != nil {
		return OriginDenied
	}
	projects := e.match.Group.Projects
	for i := range projects {
		if slices.Contains(e.match.Key.Scope.Projects, projects[i].Name) && projects[i].Origins.Allows(from) {
			return Allowed
		}
	}
	return OriginDenied
}
