package store

import (
	"cmp"
	"fmt"
	"slices"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/decision"
)

// compile prepares a group for decisions. Patterns of origins, routes of capabilities and context values that cannot be
// used are left out, each on its own; without them less is allowed, never more. If a route of a project cannot be used, all
// routes of all projects are left out: otherwise requests that the route owns would fall to a project with a wider route. So they
// are if a field is of a later release, which may restrict what is allowed.
func (s *Store) compile(wire *syncv1.Group) *decision.Group {
	group := &decision.Group{
		Identity:    wire.Identity(),
		DisplayName: wire.GetDisplayName(),
		Tier:        wire.GetTier(),
		State:       stateOf(wire.GetState()),
		Limits: decision.Limits{
			RequestQuota: wire.GetLimits().GetRequestQuota(),
			ByteQuota:    wire.GetLimits().GetByteQuota(),
			Metered:      wire.GetLimits().GetOverage() == syncv1.Overage_OVERAGE_METER,
			DenyUnknown:  wire.GetLimits().GetDenyUnknown(),
			Rate:         rateOf(wire.GetLimits().GetRate()),
			Schedule:     scheduleOf(wire.GetQuotaPeriod()),
		},
		AcceptIn:         locationsOf(wire.GetAcceptIn()),
		SharedCaching:    wire.GetCaching() == syncv1.Caching_CACHING_SHARED,
		RequireAddresses: wire.GetRequireAddresses(),
	}
	unknownField, unknownValue := unknownIn(wire.ProtoReflect(), "")
	if unknownValue != nil { // the value is taken for the one that allows least
		s.reject("group", group.Identity, unknownValue)
	}
	if unknownField != nil {
		s.reject("group", group.Identity, unknownField)
		wire = withoutRoutes(wire)
	}
	if size := sizeOf(wire); size > routing.MaxSize {
		// With only some of the routes, requests that the others own would fall to those. So no project owns anything.
		s.reject("routes", group.Identity, fmt.Errorf("they have a size of %d, more than the %d that a group may have: "+
			"none of them is in force", size, routing.MaxSize))
		wire = withoutRoutes(wire)
	}
	whole := true
	for _, project := range wire.GetProjects() {
		where := group.Identity + ", project " + project.GetName()
		routes := s.compileRoutes(where, project.GetRoutes())
		whole = whole && len(routes) == len(project.GetRoutes())
		group.Projects = append(group.Projects, decision.Project{
			Name:    project.GetName(),
			OwnsAll: project.GetOwnsAll(),
			Routes:  routes,
			Origins: s.compileOrigins(where, project.GetOrigins()),
			Public:  s.compilePublic(where, project.GetPublicPaths()),
		})
	}
	if !whole {
		for i := range group.Projects {
			group.Projects[i].Routes, group.Projects[i].OwnsAll, group.Projects[i].Public = nil, false, nil
		}
	}
	group.HasPublic = slices.ContainsFunc(group.Projects, func(p decision.Project) bool { return len(p.Public) > 0 })
	s.compileShared(group, wire.GetSharedOrigins())
	slices.SortStableFunc(group.Projects, func(a, b decision.Project) int { return cmp.Compare(a.Name, b.Name) })
	for _, capability := range wire.GetCapabilities() {
		where := group.Identity + ", capability " + capability.GetName()
		group.Capabilities = append(group.Capabilities, decision.Capability{
			Name:   capability.GetName(),
			Routes: s.compileRoutes(where, capability.GetRoutes()),
			Cost:   costOf(capability),
		})
		group.Weighted = group.Weighted || costOf(capability) != 1
	}
	for name, value := range wire.GetContext() {
		compiled, err := contextValue(name, value)
		if err != nil {
			s.reject("context value", group.Identity+", "+name, err)
			continue
		}
		group.Context = append(group.Context, compiled)
	}
	group.Sealed = s.sealedContext(group.Identity, wire.GetSealedContext())
	slices.SortFunc(group.Context, func(a, b decision.ContextValue) int { return cmp.Compare(a.Name, b.Name) })
	return group
}

// sizeOf returns the size of all routes of a group together.
func sizeOf(wire *syncv1.Group) (size int) {
	add := func(routes []*syncv1.Route) {
		for _, route := range routes {
			declared, _ := routeOf(route) // compileRoute reports the error
			size += declared.Size()
		}
	}
	for _, project := range wire.GetProjects() {
		add(project.GetRoutes())
		for _, path := range project.GetPublicPaths() {
			public := routing.Public(path)
			size += public.Size()
		}
	}
	for _, capability := range wire.GetCapabilities() {
		add(capability.GetRoutes())
	}
	return size
}

// withoutRoutes returns the group with projects that own nothing and capabilities that cover nothing.
func withoutRoutes(wire *syncv1.Group) *syncv1.Group {
	bare := &syncv1.Group{
		Namespace: wire.GetNamespace(), Name: wire.GetName(), Context: wire.GetContext(), SharedOrigins: wire.GetSharedOrigins(),
	}
	for _, project := range wire.GetProjects() {
		bare.Projects = append(bare.Projects, &syncv1.Project{Name: project.GetName(), Origins: project.GetOrigins()})
	}
	for _, capability := range wire.GetCapabilities() {
		bare.Capabilities = append(bare.Capabilities, &syncv1.Capability{Name: capability.GetName(), Cost: capability.Cost})
	}
	return bare
}

func rateOf(wire *syncv1.RateLimit) decision.RateLimit {
	return decision.RateLimit{PerSecond: wire.GetPerSecond(), Burst: wire.GetBurst()}
}

// locationsOf ignores locations that it does not know: keys there are denied.
func locationsOf(wire []syncv1.KeyLocation) (accepted decision.Locations) {
	for _, location := range wire {
		switch location {
		case syncv1.KeyLocation_KEY_LOCATION_QUERY:
			accepted = accepted.With(decision.InQuery)
		case syncv1.KeyLocation_KEY_LOCATION_WEBSOCKET_PROTOCOL:
			accepted = accepted.With(decision.InWebSocketProtocol)
		}
	}
	return accepted
}

func stateOf(state syncv1.GroupState) decision.State {
	switch state {
	case syncv1.GroupState_GROUP_STATE_ACTIVE:
		return decision.Active
	case syncv1.GroupState_GROUP_STATE_FROZEN:
		return decision.Frozen
	default:
		return decision.Suspended
	}
}

func (s *Store) compileRoutes(where string, wire []*syncv1.Route) []routing.Matcher {
	var routes []routing.Matcher
	for i, route := range wire {
		matcher, err := compileRoute(route)
		if err != nil {
			s.reject("route", fmt.Sprintf("%s, routes[%d]", where, i), err)
			continue
		}
		routes = append(routes, matcher)
	}
	return routes
}

func compileRoute(wire *syncv1.Route) (routing.Matcher, error) {
	route, err := routeOf(wire)
	if err != nil {
		return routing.Matcher{}, err
	}
	return routing.Compile(route)
}

// routeOf converts a route for package routing. If a query parameter is given twice, it uses the first and returns an error.
func routeOf(wire *syncv1.Route) (routing.Route, error) {
	route := routing.Route{Methods: wire.GetMethods(), Hosts: wire.GetHosts(), Paths: wire.GetPaths()}
	for _, query := range wire.GetQuery() {
		if route.Query == nil {
			route.Query = map[string][]string{}
		}
		if _, twice := route.Query[query.GetName()]; twice {
			return route, fmt.Errorf("query: %q is given twice", query.GetName())
		}
		route.Query[query.GetName()] = query.GetValues()
	}
	return route, nil
}

func (s *Store) compileOrigins(where string, wire *syncv1.OriginPolicy) decision.Origins {
	return decision.Origins{
		AllowLocalhost: wire.GetAllowLocalhost(), AllowMissing: wire.GetAllowMissing(),
		Patterns: s.compilePatterns(where, wire.GetPatterns()),
	}
}

// compileShared adds the patterns that several projects allow. The projects are in the order of the record still.
func (s *Store) compileShared(group *decision.Group, wire []*syncv1.SharedOrigins) {
	for i, shared := range wire {
		where := fmt.Sprintf("%s, shared_origins[%d]", group.Identity, i)
		patterns := s.compilePatterns(where, shared.GetPatterns())
		for _, owner := range shared.GetOwners() {
			if int(owner) >= len(group.Projects) {
				s.reject("origin", where, fmt.Errorf("there is no project %d", owner))
				continue
			}
			origins := &group.Projects[owner].Origins
			origins.Shared = append(origins.Shared, patterns)
		}
	}
}

func (s *Store) compilePatterns(where string, wire []string) (patterns []origin.Pattern) {
	for _, text := range wire {
		pattern, err := origin.ParsePattern(text)
		if err != nil {
			s.reject("origin", where, err)
			continue
		}
		patterns = append(patterns, pattern)
	}
	return patterns
}
