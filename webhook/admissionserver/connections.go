package admissionserver

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

const (
	// maxConnections is how many connections there are at once, and maxOfPeer how many of one address. An API
	// server has one for each review that is in progress, by default some hundreds. A change fails if its
	// connection is closed during the review, so the API server alone must not reach the bound.
	maxConnections = 4096
	maxOfPeer      = 1024
)

// connections are those of a listener. Where there are too many, the one is closed that has been without
// a complete request for the longest time, of the address that has most among those with such a connection, and preferably
// one that never had any request: others never keep out a client that has few connections and sends its requests without
// delay.
type connections struct {
	net.Listener

	most, mostOfPeer int

	mu    sync.Mutex
	count int
	peers map[netip.Addr]*list.List // of *connection; the one that has been idle for the longest time is in front
}

func boundConnections(listener net.Listener, most, mostOfPeer int) *connections {
	return &connections{Listener: listener, most: most, mostOfPeer: mostOfPeer, peers: map[netip.Addr]*list.List{}}
}

// connection is one of connections.
type connection struct {
	net.Conn

	all  *connections
	peer netip.Addr

	// all.mu guards these.
	element *list.Element // nil when it is closed
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

// admit admits the connection, where necessary in place of another one, the victim, which the caller has to close.
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
	conn.element = of.PushBack(conn)
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

// remove removes a connection, where that has not happened yet. The caller holds c.mu.
func (c *connections) remove(conn *connection) {
	if conn.element == nil {
		return
	}
	of := c.peers[conn.peer]
	of.Remove(conn.element)
	conn.element = nil
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

// setWorking records whether the request of the connection has arrived and has no response yet.
func (c *connection) setWorking(working bool) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.working, c.worked = working, true
	if c.element != nil {
		c.all.peers[c.peer].MoveToBack(c.element)
	}
}

// peerOf returns what counts as one address: for IPv6 the first half, since its owner chooses the second half.
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
