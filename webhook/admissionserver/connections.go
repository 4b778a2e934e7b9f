package admissionserver

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

const (
	// maxConnections is how many connections there are at once, maxOfPeer how many of one address. An API
	// server has one for each review that is under way, by default some hundreds, and one that is
	// closed in the middle of a review is a change that fails: it must not come to that by itself.
	maxConnections = 4096
	maxOfPeer      = 1024
)

// connections are those of a listener. Where there are too many, the one goes that has been without
// a complete request for the longest, of the address that has most, and rather one that never had any:
// who comes with few, and says soon what it wants, is never kept out by others.
type connections struct {
	net.Listener

	most, mostOfPeer int

	mu    sync.Mutex
	count int
	peers map[netip.Addr]*list.List // of *connection; in front is who has waited for the longest
}

func boundConnections(listener net.Listener, most, mostOfPeer int) *connections {
	return &connections{Listener: listener, most: most, mostOfPeer: mostOfPeer, peers: map[netip.Addr]*list.List{}}
}

// connection is one of connections.
type connection struct {
	net.Conn

	all  *connections
	peer netip.Addr

	// Of these all.mu is the lock.
	place   *list.Element // nil when it is closed
	working bool
	worked  bool // at least once
}

// Accept implements net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	for {
		accepted, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		conn := &connection{Conn: accepted, all: c, peer: peerOf(accepted.RemoteAddr().String())}
		victim, admitted := c.admit(conn)
		if victim != nil {
			_ = victim.Conn.Close()
		}
		if admitted {
			return conn, nil
		}
		_ = accepted.Close()
	}
}

// admit makes a place for the connection, perhaps that of another one, which is to be closed.
func (c *connections) admit(conn *connection) (victim *connection, admitted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var crowd *list.List
	full := c.count >= c.most
	if own := c.peers[conn.peer]; own != nil && own.Len() >= c.mostOfPeer {
		crowd, full = own, true
	} else if full {
		for _, of := range c.peers {
			if (crowd == nil || of.Len() > crowd.Len()) && idlest(of) != nil {
				crowd = of
			}
		}
	}
	if full {
		if crowd != nil {
			victim = idlest(crowd)
		}
		if victim == nil {
			return nil, false
		}
		c.remove(victim)
	}
	of := c.peers[conn.peer]
	if of == nil {
		of = list.New()
		c.peers[conn.peer] = of
	}
	conn.place = of.PushBack(conn)
	c.count++
	return victim, true
}

func idlest(of *list.List) (idlest *connection) {
	for e := of.Front(); e != nil; e = e.Next() {
		conn := e.Value.(*connection)
		switch {
		case conn.working:
		case !conn.worked:
			return conn
		case idlest == nil:
			idlest = conn
		}
	}
	return idlest
}

// remove forgets a connection, once. The caller holds c.mu.
func (c *connections) remove(conn *connection) {
	if conn.place == nil {
		return
	}
	of := c.peers[conn.peer]
	of.Remove(conn.place)
	conn.place = nil
	c.count--
	if of.Len() == 0 {
		delete(c.peers, conn.peer)
	}
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.all.mu.Lock()
	c.all.remove(c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// setWorking notes whether the request of the connection has arrived, and is not answered yet.
func (c *connection) setWorking(working bool) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.working, c.worked = working, true
	if c.place != nil {
		c.all.peers[c.peer].MoveToBack(c.place)
	}
}

// peerOf is what counts as one address: of IPv6 the first half, in which whoever has it chooses.
func peerOf(address string) netip.Addr {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{} // all of these together
	}
	addr := parsed.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}
