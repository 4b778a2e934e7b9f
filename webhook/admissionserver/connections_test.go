package admissionserver

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestConnectionLimits: there are never more connections than allowed, in total and of an address; a connection whose
// request is processed stays; and of the addresses that have an idle connection, one with most connections loses it.
func TestConnectionLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most, mostOfPeer = 8, 4
		c := boundConnections(nil, most, mostOfPeer)
		var open []*connection
		of := func(peer netip.Addr) (n int) {
			for _, conn := range open {
				if conn.peer == peer {
					n++
				}
			}
			return n
		}
		pick := func(t *rapid.T) *connection {
			if len(open) == 0 {
				t.Skip("none is open")
			}
			return rapid.SampledFrom(open).Draw(t, "connection")
		}
		remove := func(conn *connection) {
			open = slices.DeleteFunc(open, func(other *connection) bool { return other == conn })
		}
		t.Repeat(map[string]func(*rapid.T){
			"connect": func(t *rapid.T) {
				near, _ := net.Pipe()
				peer := netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 6).Draw(t, "peer"))})
				conn := &connection{Conn: near, all: c, peer: peer}
				had, crowd := of(peer), 0 // of the address with most connections of those that have an idle one
				for _, other := range open {
					if !other.working {
						crowd = max(crowd, of(other.peer))
					}
				}
				victim, admitted := c.admit(conn)
				if admitted {
					open = append(open, conn)
				} else if victim != nil {
					t.Fatal("one was closed although none was admitted")
				}
				if victim == nil {
					if !admitted && had < mostOfPeer && len(open) < most {
						t.Fatal("refused although a connection could be admitted")
					}
					return
				}
				remove(conn)
				if victim.working || had < mostOfPeer && of(victim.peer) < crowd || had >= mostOfPeer && victim.peer != peer {
					t.Fatalf("one of %v was closed, which has %d and works: %v, for one of %v, which had %d", victim.peer,
						of(victim.peer), victim.working, peer, had)
				}
				open = append(open, conn)
				remove(victim)
				_ = victim.Close() // a second time has no effect
			},
			"work": func(t *rapid.T) { conn := pick(t); conn.setWorking(!conn.working) },
			"close": func(t *rapid.T) {
				conn := pick(t)
				remove(conn)
				for range 2 {
					if err := conn.Close(); err != nil {
						t.Fatal(err)
					}
				}
			},
			"": func(t *rapid.T) {
				if c.count != len(open) || len(open) > most {
					t.Fatalf("%d counted, %d open", c.count, len(open))
				}
				for peer, all := range c.peers {
					if n := of(peer); n != all.Len() || n > mostOfPeer || n == 0 {
						t.Fatalf("%d of %v counted, %d open", all.Len(), peer, n)
					}
				}
			},
		})
	})
}

func TestPeers(t *testing.T) {
	for a, same := range map[string]string{
		"192.0.2.1:1":      "192.0.2.1:2",
		"[2001:db8::1]:1":  "[2001:db8::ffff:1]:2",
		"[fe80::1%eth0]:1": "[fe80::2%eth1]:1",
		"192.0.2.2:1":      "[::ffff:192.0.2.2]:1",
	} {
		if peerOf(a) != peerOf(same) {
			t.Errorf("%s and %s are two", a, same)
		}
	}
	seen := map[netip.Addr]string{}
	for i := range 4 {
		for _, address := range []string{fmt.Sprintf("192.0.2.%d:1", i), fmt.Sprintf("[2001:db8:0:%d::1]:1", i)} {
			if other, ok := seen[peerOf(address)]; ok {
				t.Errorf("%s and %s are one", address, other)
			}
			seen[peerOf(address)] = address
		}
	}
}
