package session

// Runs returns how many runs of servers were disconnected, and are kept.
func (r *Registry) Runs() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.runs.known)
}
