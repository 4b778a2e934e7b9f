// Package originapi says whether a site would be allowed to use a project, and by which domain: GET /v1/check-origin.
package originapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// Groups are those that are known here.
type Groups interface {
	// Synced reports whether there is a complete snapshot from the manager.
	Synced() bool
	// WithProject returns Groups that have a project of this name, at most that many, sorted by their identities, and how
	// many are left out. If a group is given, namespace/name, it is that one at most.
	WithProject(project, group string, most int) (groups []*decision.Group, more int)
}

// Disabled answers that origins are not checked, because there is no token that could be presented.
func Disabled(w http.ResponseWriter, _ *http.Request) {
	httpapi.NewProblem(http.StatusNotFound, "check_origin_off", "Origins are not checked",
		"Start the validator with --admin-token-file to ask here whether a site would be allowed.").Denial().Write(w)
}

// Handler checks origins: GET with the query of api/admin/v1. It asks for no token: that is up to the caller.
func Handler(groups Groups) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := read(r.URL.RawQuery)
		switch {
		case err != nil:
			httpapi.NewProblem(http.StatusBadRequest, "query_invalid", "Query not understood", err.Error()).Denial().Write(w)
			return
		case !groups.Synced():
			httpapi.CodeDenial(decision.NotSynced).Write(w)
			return
		}
		result := adminv1.OriginChecks{Origin: q.from.String(), Checks: []adminv1.OriginCheck{}}
		found, more := groups.WithProject(q.project, q.group, adminv1.MaxOriginChecks)
		for _, group := range found {
			result.Checks = append(result.Checks, check(group, q))
		}
		result.More = more
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(result) // a client that has disconnected needs no response
	})
}

// query is what is asked.
type query struct {
	from           origin.Origin
	project, group string
}

var parameters = []string{adminv1.CheckOriginOrigin, adminv1.CheckOriginProject, adminv1.CheckOriginGroup}

func read(raw string) (q query, err error) {
	given, err := url.ParseQuery(raw)
	if err != nil {
		return q, errors.New("the query is not properly encoded")
	}
	for name, values := range given {
		if !slices.Contains(parameters, name) {
			return q, errors.New("the parameters are " + strings.Join(parameters, ", "))
		}
		if len(values) != 1 {
			return q, fmt.Errorf("%s: give it once", name)
		}
	}
	if q.project = given.Get(adminv1.CheckOriginProject); q.project == "" {
		return q, errors.New("project: it is missing")
	}
	q.group = given.Get(adminv1.CheckOriginGroup)
	if given.Has(adminv1.CheckOriginGroup) && strings.Count(q.group, "/") != 1 {
		return q, errors.New("group: write namespace/name")
	}
	text := given.Get(adminv1.CheckOriginOrigin)
	if q.from, err = origin.Parse(text); err != nil && !errors.Is(err, origin.ErrOpaque) {
		q.from, err = origin.ParseReferer(text) // the address of a page will do
	}
	switch {
	case errors.Is(err, origin.ErrOpaque):
		return q, errors.New("origin: null is never allowed; browsers send it for sandboxed frames, local files and data: URLs of anybody")
	case err != nil:
		return q, errors.New("origin: write one such as https://www.acme.com or capacitor://localhost")
	}
	return q, nil
}

func check(group *decision.Group, q query) adminv1.OriginCheck {
	result := adminv1.OriginCheck{Group: group.Identity, Project: q.project}
	project := group.ProjectNamed(q.project)
	result.Allowed = project.Origins.Allows(q.from)
	for pattern := range project.Origins.All() {
		result.Domains++
		switch {
		case result.Domain == "" && pattern.Matches(q.from):
			result.Domain = pattern.String()
		case !result.Allowed && len(result.Near) < adminv1.MaxNearDomains:
			if near := pattern.Near(q.from); near != "" {
				result.Near = append(result.Near, adminv1.NearDomain{Domain: pattern.String(), Reason: near})
			}
		}
	}
	result.Localhost = result.Allowed && result.Domain == ""
	return result
}
