package quotaledger

// Recover returns a ledger for a month whose accounts were lost, of which it is known that so many requests and bytes were
// used. Servers that still run report their counters, which are a part of that: so the first report of each is taken out of what
// is unattributed, and the sum stays as it is. What servers had used that have ended remains unattributed.
//
// The sum may miss what a server used between the time that the known sum is from and its first report.
func Recover(requests, unconfirmed, bytes uint64) *Ledger {
	requests, bytes = min(requests, Max), min(bytes, Max)
	return &Ledger{
		Servers:      map[string]Counters{},
		Unattributed: Counters{Requests: requests, Unconfirmed: min(unconfirmed, requests), Bytes: bytes},
	}
}

// attribute takes the first report of a server out of what is unattributed.
func (l *Ledger) attribute(reported Counters) {
	u := &l.Unattributed
	u.Requests -= min(u.Requests, reported.Requests)
	u.Unconfirmed -= min(u.Unconfirmed, reported.Unconfirmed)
	u.Unconfirmed = min(u.Unconfirmed, u.Requests)
	u.Bytes -= min(u.Bytes, reported.Bytes)
}
