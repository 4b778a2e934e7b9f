package decision

// cost returns how many requests of a quota the request counts as: what the application says, or else the highest cost of the
// group's capabilities with a route that matches, regardless of the permissions of the key. Where it depends on the reader, or
// takes too much work, whether a route matches, it does if that makes the request more expensive.
func (e *evaluation) cost() uint32 {
	if e.request.HasCost {
		return e.request.Cost
	}
	group := e.match.Group
	if group == nil || !group.Weighted || e.request.AboutKey {
		return 1
	}
	highest, most, matched := uint32(0), uint32(1), false
	for i := range group.Capabilities {
		capability := &group.Capabilities[i]
		most = max(most, capability.Cost)
		if e.countsAs(capability) {
			highest, matched = max(highest, capability.Cost), true
		}
	}
	switch {
	case e.routing.Exhausted():
		return most
	case !matched:
		return 1
	default:
		return highest
	}
}

func (e *evaluation) countsAs(capability *Capability) bool {
	if capability.Cost <= 1 {
		return capability.covers(&e.routing)
	}
	for i := range capability.Routes {
		if _, matches := capability.Routes[i].Match(&e.routing); matches {
			return true
		}
	}
	_, doubted := e.routing.TakeDoubt()
	return doubted
}
