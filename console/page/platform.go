package page

import (
	"io"
	"time"
)

// Platform is how Keyward itself is.
type Platform struct {
	Missing string // the namespace, if nothing is known; empty: the rest is
	State   State
	Problem string // what to do; empty: nothing
	Version string
	Leader  string
	Written time.Time

	Connected, Disconnected, Behind, Rejecting int64
	Servers                                    []PlatformServer // those with trouble first
	Unlisted                                   int64            // how many others there are
	Sinks                                      []PlatformSink
	Tiers                                      []PlatformTier
}

// PlatformServer is a validation server.
type PlatformServer struct {
	Name, Identity, Version string
	State                   State
	Since                   time.Time // of the state; zero: not known
	Groups                  string    // empty: not known
	Reason                  string    // why it rejects records
}

// PlatformSink is where events or usage are sent.
type PlatformSink struct {
	Name, Kind         string
	State              State
	Delivered, Waiting time.Time // zero: nothing was delivered since the leader began; nothing waits
	Problem            string    // what failed and what to do; empty: nothing
}

// PlatformTier is a tier with its limits in words.
type PlatformTier struct {
	Name                        string
	Default                     bool
	Keys, Requests, Bytes, Rate string
	AuditLog                    bool
}

// Write writes the page.
func (p Platform) Write(to io.Writer, frame Frame) error { return render(to, "platform", frame, p) }
