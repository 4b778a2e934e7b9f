package store

// Waiting is how many totals are not published yet.
func (p *Published) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.totals)
}
