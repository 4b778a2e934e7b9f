package quotaledger

import (
	"cmp"
	"slices"
)

// Presence describes whether a server can be asked to return what it has not spent.
type Presence uint8

const (
	// Disconnected means that it cannot be asked, and that it is unknown whether it ever reconnects.
	Disconnected Presence = iota
	// Expected means that it is about to reconnect.
	Expected
	// Connected means that it can be asked.
	Connected
)

// Peer is what is known of a server beside its account.
type Peer struct {
	Presence Presence
	// Wants is how many more requests it asked for when it had the allowance with this Sequence.
	Wants, Sequence uint64
	// Needs is how many it must have that are not spent to allow a request that waits, because that counts as so many; 0 is 1.
	Needs uint64
	// Asked orders the servers that want more: a lower number is earlier.
	Asked uint64
}

// Outcome is what servers are to be notified of.
type Outcome struct {
	// Raised are the servers that have received a larger allowance.
	Raised []string
	// Recall are the servers that are to return what they have not spent.
	Recall []string
	// Waiting reports whether a server has less than it needs, but may receive that yet.
	Waiting bool
	// Exhausted reports whether nothing is left for the servers that want more: all of the quota is
	// spent, or leased to servers that are disconnected.
	Exhausted bool
	// Short are the servers that need more than Attainable, which is all that is not spent or leased to servers that are
	// disconnected. They will not receive it, unless there is more.
	Short      []string
	Attainable uint64
}

// MaxCost is the greatest number of requests that one request may count as.
const MaxCost = 1000

// shareDivisor determines how much an allowance grows: what is left, divided by this and by the number of servers.
const shareDivisor = 2

// Allow leases what is left of a quota to the servers that want more. It never makes the sum of allowances
// exceed the quota; where the sum already exceeds it, because the quota was lowered, allowances are
// recalled.
func (l *Ledger) Allow(quota uint64, peers map[string]Peer) Outcome {
	committed := l.Committed()
	left := quota - min(quota, committed)
	wanting := l.wanting(peers)
	share := max(1, left/uint64(shareDivisor*max(1, connected(peers))))
	outcome := Outcome{Attainable: left + l.recallable(peers)}
	first := "" // of those that have less than they need, and may receive that
	for _, server := range wanting {
		a, need := l.Servers[server], max(1, min(peers[server].Needs, MaxCost))
		grant := min(peers[server].Wants, share, left)
		lacks := need - min(need, a.unspent())
		if need <= outcome.Attainable {
			grant = min(max(grant, lacks), left)
		} else {
			outcome.Short = append(outcome.Short, server)
		}
		if grant > 0 {
			left -= grant
			a.Leased, a.Sequence = max(a.Leased, a.Spent)+grant, a.Sequence+1
			l.put(server, a)
			outcome.Raised = append(outcome.Raised, server)
		}
		if grant < lacks && need <= outcome.Attainable && first == "" {
			first = server
		}
	}
	outcome.Waiting = first != ""
	outcome.Exhausted = outcome.Attainable == 0 && len(wanting) > 0
	if !outcome.Waiting && committed <= quota {
		return outcome
	}
	for server, a := range l.Servers {
		// Who waits first keeps what it has: if each gave back for the other, no one would ever have enough.
		keeps := server == first && committed <= quota || slices.Contains(outcome.Raised, server)
		if peers[server].Presence == Connected && a.unspent() > 0 && !keeps {
			outcome.Recall = append(outcome.Recall, server)
		}
	}
	slices.Sort(outcome.Recall)
	return outcome
}

// recallable returns what servers hold that can be asked to return it, or are about to reconnect.
func (l *Ledger) recallable(peers map[string]Peer) (sum uint64) {
	for server, a := range l.Servers {
		if peers[server].Presence != Disconnected {
			sum += a.unspent()
		}
	}
	return sum
}

// wanting returns the servers that want more and have the latest allowance, in the order in which they asked.
func (l *Ledger) wanting(peers map[string]Peer) []string {
	var servers []string
	for server, peer := range peers {
		a := l.Servers[server]
		if peer.Presence == Connected && peer.Wants > 0 && !a.Closed && peer.Sequence >= a.Sequence {
			servers = append(servers, server)
		}
	}
	slices.SortFunc(servers, func(x, y string) int {
		return cmp.Or(cmp.Compare(peers[x].Asked, peers[y].Asked), cmp.Compare(x, y))
	})
	return servers
}

func connected(peers map[string]Peer) int {
	n := 0
	for _, peer := range peers {
		if peer.Presence == Connected {
			n++
		}
	}
	return n
}
