// Package installation writes the Installation: how Keyward itself is. What it says is a pure function of facts, of what it said before,
// and of the time; a thin shell collects the facts and writes.
package installation

import (
	"cmp"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/internal/tier"
)

// behindAfter is how long a server lacks an update before it is shown as behind: usually it is milliseconds.
const behindAfter = 10 * time.Second

// Facts are what the status is made of.
type Facts struct {
	// Version and Leader are those of the manager that leads.
	Version, Leader string
	// LeadsSince is since when it leads, and ForgetServersAfter how long servers are remembered that are not connected; with 0 for ever.
	LeadsSince         time.Time
	ForgetServersAfter time.Duration
	Tiers              *tier.Catalogue
	Sinks              []Sink
	Servers            []Server
}

// Sink is a sink with what it is sent.
type Sink struct {
	sinks.State

	Sends v1alpha1.SinkContent
}

// Server is a validation server. Exactly one of ConnectedSince and DisconnectedSince is set, except for servers of which neither is known.
type Server struct {
	Name, Identity, Version           string
	ConnectedSince, DisconnectedSince time.Time
	Groups                            int
	BehindSince                       time.Time
	Rejected                          int
	RejectionReason                   string
}

// trouble orders servers: those that somebody should look at first come first.
func (s *Server) trouble() int {
	switch {
	case s.Rejected > 0:
		return 0
	case !s.BehindSince.IsZero():
		return 1
	case !s.DisconnectedSince.IsZero():
		return 2
	default:
		return 3
	}
}

func compareServers(a, b Server) int {
	return cmp.Or(cmp.Compare(a.trouble(), b.trouble()), strings.Compare(a.Name, b.Name), strings.Compare(a.Identity, b.Identity),
		a.ConnectedSince.Compare(b.ConnectedSince), a.DisconnectedSince.Compare(b.DisconnectedSince))
}

// ServersOf returns all servers, in no order.
func ServersOf(connected []publish.Server, absent []session.Absence, now time.Time) []Server {
	servers := make([]Server, 0, len(connected)+len(absent))
	for i := range connected {
		c := &connected[i]
		server := Server{
			Name: c.Instance, Identity: c.Owner, Version: c.Version, ConnectedSince: c.ConnectedSince(), Groups: c.Groups,
			Rejected: c.Rejected, RejectionReason: c.RejectionReason,
		}
		if !c.BehindSince.IsZero() && now.Sub(c.BehindSince) > behindAfter {
			server.BehindSince = c.BehindSince
		}
		servers = append(servers, server)
	}
	for i := range absent {
		a := &absent[i]
		server := Server{Name: a.Instance, Identity: a.Owner, Version: a.Version, ConnectedSince: a.ConnectedSince}
		if now.Sub(a.At) > session.Interruption || a.ConnectedSince.IsZero() {
			server.ConnectedSince, server.DisconnectedSince = time.Time{}, a.At
		}
		servers = append(servers, server)
	}
	return servers
}
