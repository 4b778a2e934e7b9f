package publish

import (
	"maps"
	"slices"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// setOrigins adds up the allowlists of the projects. A project without any refuses foreign origins, and accepts requests
// from servers, which send no origin. The record is the same in any order of the lists, and has the patterns of a
// list once, also where it is for many projects.
func setOrigins(record *syncv1.Group, allowlists []*v1alpha1.DomainAllowlist) {
	indexes := make(map[v1alpha1.ProjectName]uint32, len(record.GetProjects()))
	for i, project := range record.GetProjects() {
		indexes[v1alpha1.ProjectName(project.GetName())] = uint32(i) //nolint:gosec // a Group has 64 projects at most
	}
	listed := make([]*syncv1.OriginPolicy, len(record.GetProjects()))
	owners := func(list *v1alpha1.DomainAllowlist) (owners []uint32) {
		for _, project := range list.Spec.Projects {
			if index, has := indexes[project]; has {
				owners = append(owners, index)
				if listed[index] == nil {
					listed[index] = &syncv1.OriginPolicy{}
				}
			}
		}
		slices.Sort(owners)
		return slices.Compact(owners)
	}
	counted, beyond := grant.FitAllowlists(allowlists)
	for _, list := range beyond {
		owners(list) // it allows nothing: its projects are not without a list
	}
	shared := map[string]*syncv1.SharedOrigins{}
	for _, list := range counted {
		owners := owners(list)
		for _, owner := range owners {
			policy := listed[owner]
			policy.AllowLocalhost = policy.GetAllowLocalhost() || list.Spec.AllowLocalhost == nil || *list.Spec.AllowLocalhost
			policy.AllowMissing = policy.GetAllowMissing() || list.Spec.MissingOrigin == v1alpha1.MissingOriginAllow
		}
		switch patterns := canonicalPatterns(list.Spec.Domains); {
		case len(owners) == 0 || len(patterns) == 0:
		case len(owners) == 1:
			listed[owners[0]].Patterns = append(listed[owners[0]].Patterns, patterns...)
		default:
			of := ownersKey(owners)
			if shared[of] == nil {
				shared[of] = &syncv1.SharedOrigins{Owners: owners}
			}
			shared[of].Patterns = append(shared[of].Patterns, patterns...)
		}
	}
	for i, project := range record.GetProjects() {
		if listed[i] == nil {
			listed[i] = &syncv1.OriginPolicy{AllowLocalhost: true, AllowMissing: true}
		}
		project.Origins = listed[i]
		project.Origins.Patterns = sortedOnce(project.GetOrigins().GetPatterns())
	}
	for _, of := range slices.Sorted(maps.Keys(shared)) {
		shared[of].Patterns = sortedOnce(shared[of].GetPatterns())
		record.SharedOrigins = append(record.SharedOrigins, shared[of])
	}
}

// canonicalPatterns leaves out domains that are refused: they allow nothing, and the status of their list says so.
func canonicalPatterns(domains []string) []string {
	patterns := make([]string, 0, len(domains))
	for _, domain := range domains {
		if pattern, err := grant.ParseDomain(domain); err == nil {
			patterns = append(patterns, pattern.String())
		}
	}
	return patterns
}

func ownersKey(owners []uint32) string {
	key := make([]rune, 0, len(owners))
	for _, owner := range owners {
		key = append(key, rune(owner)) //nolint:gosec // a Group has 64 projects at most
	}
	return string(key)
}

func sortedOnce(patterns []string) []string {
	slices.Sort(patterns)
	return slices.Compact(patterns)
}
