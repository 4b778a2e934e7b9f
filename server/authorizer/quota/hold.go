package quota

// A request that two allowances have to allow must spend of both, or of neither. It holds what it costs of the one, spends it of
// the other, and then spends or cancels what it holds: what is held is not spent yet, and nobody else can spend it, so that either way
// succeeds. What was reported as spent never decreases, which is why it cannot be spent first and given back.

// hold sets aside what a request costs, until spendHeld or cancel. It reports low when it is time to ask for more.
func (m *month) hold(cost uint64) (held, low bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if held, low = m.take(int64(cost)); held {
		m.held += cost
	}
	return held, low
}

// spendHeld spends what is held.
func (m *month) spendHeld(cost uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed { // otherwise it was reported as spent
		m.held -= cost
	}
}

// cancel makes what is held available again. After the last report, in which it counted as spent, it changes nothing.
func (m *month) cancel(cost uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.held -= cost
		m.left.Add(int64(cost))
	}
}

// close gives back for good what is neither spent nor held. What is held counts as spent, because the manager leases to others
// what is not, and its request may be allowed yet. The caller holds mu.
func (m *month) close() {
	m.giveBack()
	m.held = 0
	m.closed = true
}
