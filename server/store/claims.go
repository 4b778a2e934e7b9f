package store

import (
	"maps"
	"slices"

	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/decision"
)

// maxClaiming is how many groups are compared with one request that has no key.
const maxClaiming = 512

// claimed is what groups claim: a host, the subdomains of one, which are its suffix with the dot in front, or a project by its name.
// The zero value is any host.
type claimed struct{ host, project string }

// claims finds groups by what they claim. There are none while no group has public paths, which is what they are for.
type claims map[claimed][]*groupRecord

// claim adds what a group claims with a change that is not in force yet. With the first group that has public paths, it adds what
// all groups claim. The caller holds writing.
func (s *Store) claim(record *groupRecord, before, after *decision.Group) {
	if after.HasPublic && (before == nil || !before.HasPublic) {
		if s.public++; s.public == 1 {
			s.claimAll()
		}
	}
	if s.public == 0 {
		return
	}
	s.changeClaims(claimsOf(after), claimsOf(before), func(records []*groupRecord) []*groupRecord { return append(records, record) })
}

// unclaim removes what a group no longer claims after a change or, where after is nil, after it was deleted. The caller holds writing.
func (s *Store) unclaim(record *groupRecord, before, after *decision.Group) {
	if s.public == 0 {
		return
	}
	s.changeClaims(claimsOf(before), claimsOf(after), func(records []*groupRecord) []*groupRecord {
		if i := slices.Index(records, record); i >= 0 {
			last := len(records) - 1
			records[i], records[last] = records[last], nil
			records = records[:last]
		}
		return records
	})
	if before.HasPublic && (after == nil || !after.HasPublic) {
		if s.public--; s.public == 0 {
			s.opens.Store(false)
			s.mu.Lock()
			s.claims = nil
			s.mu.Unlock()
		}
	}
}

// claimAll collects what all groups claim. Nobody waits for it: the group that needs it is not in force yet.
func (s *Store) claimAll() {
	all := claims{}
	for _, record := range s.groups {
		for what := range claimsOf(record.compiled) {
			all[what] = append(all[what], record)
		}
	}
	s.mu.Lock()
	s.claims = all
	s.mu.Unlock()
	s.opens.Store(true)
}

// changeClaims replaces the entries of what is claimed and is not among others, a few at a time.
func (s *Store) changeClaims(what, others map[claimed]struct{}, replaced func([]*groupRecord) []*groupRecord) {
	maps.DeleteFunc(what, func(one claimed, _ struct{}) bool {
		_, also := others[one]
		return also
	})
	for some := range slices.Chunk(slices.Collect(maps.Keys(what)), hostsAtOnce) {
		s.mu.Lock()
		for _, one := range some {
			if records := replaced(s.claims[one]); len(records) > 0 {
				s.claims[one] = records
			} else {
				delete(s.claims, one)
			}
		}
		s.mu.Unlock()
	}
}

// claimsOf returns what a group claims, each once; of no group it is nothing.
func claimsOf(group *decision.Group) map[claimed]struct{} {
	all := map[claimed]struct{}{}
	if group == nil {
		return all
	}
	for i := range group.Projects {
		project := &group.Projects[i]
		all[claimed{project: project.Name}] = struct{}{}
		if project.OwnsAll {
			all[claimed{}] = struct{}{}
		}
		for j := range project.Routes {
			hosts := project.Routes[j].Hosts()
			if len(hosts) == 0 {
				all[claimed{}] = struct{}{}
			}
			for _, host := range hosts {
				all[claimed{host: host}] = struct{}{}
			}
		}
	}
	return all
}

// Claiming implements decision.Claims. If too many groups have routes for any host, it leaves those out: they own nothing that one of
// the others does, and of nothing else it is clear whose it is.
func (s *Store) Claiming(host, project string) (named, others []*decision.Group) {
	if !s.opens.Load() {
		return nil, nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	public, tooMany := false, false
	add := func(to *[]*decision.Group, what claimed) {
		records := s.claims[what]
		if len(records) > maxClaiming-len(named) {
			tooMany = true
			return
		}
		for _, record := range records {
			if record.compiled == nil { // it is not in force yet
				continue
			}
			public = public || record.compiled.HasPublic
			*to = append(*to, record.compiled)
		}
	}
	if project != "" {
		add(&named, claimed{project: project})
	} else {
		if host != "" {
			add(&named, claimed{host: host})
			routing.Wildcards(host, func(suffix string) { add(&named, claimed{host: suffix}) })
		}
		if tooMany {
			return nil, nil
		}
		add(&others, claimed{})
	}
	if !public {
		return nil, nil
	}
	return named, others
}

func (s *Store) compilePublic(where string, paths []string) (public []routing.Matcher) {
	for _, path := range paths {
		matcher, err := routing.Compile(routing.Public(path))
		if err != nil {
			s.reject("public path", where, err)
			continue
		}
		public = append(public, matcher)
	}
	return public
}
