package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/console/person"
)

// ActiveFor is how long an active context is good. Role and tier are asked for again after half of it, so what the context says is at most this old.
const ActiveFor = 30 * time.Minute

// What Refused is given.
var (
	ErrNoActive   = errors.New("no Group is chosen, or the choice has expired")
	ErrOtherGroup = errors.New("another Group was chosen since, in another tab")
	ErrNoMember   = errors.New("this Group does not exist, or it is none of yours")
)

// Active is the Group that a person works in. It decides what pages offer; what is done is decided by the API server, of the person.
type Active struct {
	GroupID, Role, Tier string
	Expires             time.Time
}

// signed is Active as JSON. Expires is in Unix milliseconds.
type signed struct {
	Session string `json:"i"`
	GroupID string `json:"g"`
	Role    string `json:"r"`
	Tier    string `json:"t"`
	Expires int64  `json:"e"`
}

// Switch chooses the Group that the person who sent the request works in. It returns ErrNoMember, wrapped, or another error of Member, and then sets
// nothing.
func (s *Sessions) Switch(w http.ResponseWriter, r *http.Request, groupID string) (Active, error) {
	of, ok := person.From(r.Context())
	if !ok {
		return Active{}, errors.New("nobody has signed in")
	}
	if groupID == "" {
		return Active{}, ErrNoMember
	}
	role, tier, err := s.config.Member(r.Context(), of, groupID)
	if err != nil {
		return Active{}, err
	}
	expires := s.config.Now().Add(ActiveFor)
	if of.Until.Before(expires) {
		expires = of.Until
	}
	a := Active{GroupID: groupID, Role: role, Tier: tier, Expires: expires}
	value, err := s.sign(of.Session, a)
	if err != nil {
		return Active{}, err
	}
	return a, s.active.Set(w, value)
}

// RequireActive lets next answer requests of a person in the Group that is chosen, which it has by ActiveFrom. It is served below Require.
//
// GroupOf returns the Group that a request is about, by its path; "" is the chosen one, whichever that is. A request about another Group than the
// chosen one is refused, so that a page that is still open in another tab changes nothing in the wrong Group.
func (s *Sessions) RequireActive(groupOf func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of, ok := person.From(r.Context())
		if !ok {
			s.config.Refused(w, r, ErrNoActive)
			return
		}
		value, _ := s.active.Get(r)
		a, newest, ok := s.verify(of.Session, value)
		now := s.config.Now()
		if !ok || !now.Before(a.Expires) || a.Expires.After(now.Add(ActiveFor+skew)) {
			s.config.Refused(w, r, ErrNoActive)
			return
		}
		if about := groupOf(r); about != "" && about != a.GroupID {
			s.config.Refused(w, r, ErrOtherGroup)
			return
		}
		if due := a.Expires.Sub(now) <= ActiveFor/2 && a.Expires.Before(of.Until); due || !newest {
			renewed, err := s.Switch(w, r, a.GroupID)
			if err != nil {
				s.config.Refused(w, r, err)
				return
			}
			a = renewed
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), activeKey{}, a)))
	})
}

type activeKey struct{}

// ActiveFrom returns the active context of a request, or false if it was not required.
func ActiveFrom(ctx context.Context) (Active, bool) {
	a, ok := ctx.Value(activeKey{}).(Active)
	return a, ok
}

// sign returns the value of the cookie: the version, the id of the secret, the context of a session, and the code of all that.
func (s *Sessions) sign(session string, a Active) (string, error) {
	text, err := json.Marshal(signed{session, a.GroupID, a.Role, a.Tier, a.Expires.UnixMilli()})
	if err != nil {
		return "", fmt.Errorf("encoding the active context: %w", err)
	}
	id, key := s.config.Ring.Newest(s.config.Now(), forActive)
	head := version + "." + id + "." + encoding.EncodeToString(text)
	return head + "." + encoding.EncodeToString(s.code(key, head)), nil
}

// verify returns the active context that a cookie has for a session, and whether the newest secret signed it. It does not compare times.
func (s *Sessions) verify(session, value string) (a Active, newest, ok bool) {
	parts := strings.Split(value, ".")
	if len(parts) != 4 || parts[0] != version {
		return a, false, false
	}
	key, known := s.config.Ring.Key(parts[1], forActive)
	code, err := encoding.DecodeString(parts[3])
	if !known || err != nil || !hmac.Equal(code, s.code(key, strings.Join(parts[:3], "."))) {
		return a, false, false
	}
	text, err := encoding.DecodeString(parts[2])
	if err != nil {
		return a, false, false
	}
	var flat signed
	if json.Unmarshal(text, &flat) != nil || flat.GroupID == "" || flat.Session == "" || flat.Session != session {
		return a, false, false
	}
	current, _ := s.config.Ring.Newest(s.config.Now(), forActive)
	return Active{flat.GroupID, flat.Role, flat.Tier, time.UnixMilli(flat.Expires)}, parts[1] == current, true
}

// code is of the name of the cookie, too, so that it is good as no other.
func (s *Sessions) code(key []byte, head string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(s.active.Full() + "\x00" + head))
	return mac.Sum(nil)
}
