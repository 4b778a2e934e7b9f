package decision

import "testing"

func TestLocations(t *testing.T) {
	var none Locations
	both := none.With(InQuery).With(InWebSocketProtocol)
	for _, c := range []struct {
		set  Locations
		in   Location
		want bool
	}{
		{none, InHeader, true}, {none, InQuery, false}, {none, InWebSocketProtocol, false},
		{both, InHeader, true}, {both, InQuery, true}, {both, InWebSocketProtocol, true},
		{none.With(InQuery), InWebSocketProtocol, false}, {both, InWebSocketProtocol + 1, false},
	} {
		if got := c.set.Accepts(c.in); got != c.want {
			t.Errorf("%b accepts %v: %v", c.set, c.in, got)
		}
	}
}

// TestSharedCaches: no shared cache may keep what was fetched under a URL with a key or a token.
func TestSharedCaches(t *testing.T) {
	for _, c := range []struct {
		shared   bool
		location Location
		want     bool
	}{{true, InHeader, true}, {true, InWebSocketProtocol, true}, {true, InQuery, false}, {true, InSignedURL, false}, {false, InHeader, false}} {
		d := Decision{Key: Key{Scope: &Scope{}}, Group: &Group{SharedCaching: c.shared}, Location: c.location}
		if d.Shareable() != c.want {
			t.Errorf("%+v: %v", c, d.Shareable())
		}
	}
}
