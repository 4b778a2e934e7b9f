package quotaledger

import (
	"cmp"
	"slices"
)

// Presence is whether a server can be asked to give back.
type Presence uint8

const (
	// Away is that it cannot, and nobody knows whether it ever will.
	Away Presence = iota
	// Expected is that it is about to be back.
	Expected
	// Connected is that it can.
	Connected
)

// Peer is what is known of a server beside its account.
type Peer struct {
	Presence Presence
	// Wants is how much more it asked for when it had the allowance with this Sequence.
	Wants, Sequence uint64
	// Asked orders those who want something: less is earlier.
	Asked uint64
}

// Outcome is what servers are to be told.
type Outcome struct {
	// Raised have got a larger allowance.
	Raised []string
	// Recall are to give back what they have not spent.
	Recall []string
	// Waiting is whether a server has nothing left and got nothing, but may yet.
	Waiting bool
	// Exhausted is whether nothing is left for those who want something: all of the quota is
	// spent, or held by servers that are away.
	Exhausted bool
}

// generosity is by which fraction of what is left, over the servers, an allowance grows.
const generosity = 2

// Allow leases what is left of a quota to the servers that want it. No sum of allowances
// ever exceeds the quota by it: what is already beyond, after the quota was lowered, is
// recalled.
func (l *Ledger) Allow(quota uint64, peers map[string]Peer) Outcome {
	committed := l.Committed()
	left := quota - min(quota, committed)
	wanting := l.wanting(peers)
	share := max(1, left/uint64(generosity*max(1, connected(peers))))
	var outcome Outcome
	starving := false
	for _, server := range wanting {
		grant := min(peers[server].Wants, share, left)
		a := l.Accounts[server]
		if grant == 0 {
			starving = starving || a.unspent() == 0
			continue
		}
		left -= grant
		a.Leased, a.Sequence = max(a.Leased, a.Spent)+grant, a.Sequence+1
		l.put(server, a)
		outcome.Raised = append(outcome.Raised, server)
	}
	if !starving && committed <= quota {
		return outcome
	}
	hope := len(outcome.Raised) > 0
	for server, a := range l.Accounts {
		switch presence := peers[server].Presence; {
		case a.unspent() == 0:
		case presence == Connected && !slices.Contains(outcome.Raised, server):
			outcome.Recall = append(outcome.Recall, server)
			hope = true
		case presence != Away:
			hope = true
		}
	}
	slices.Sort(outcome.Recall)
	outcome.Waiting, outcome.Exhausted = starving && hope, starving && !hope
	return outcome
}

// wanting are those who want more and have the latest allowance, in the order of their asking.
func (l *Ledger) wanting(peers map[string]Peer) []string {
	var servers []string
	for server, peer := range peers {
		a := l.Accounts[server]
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
