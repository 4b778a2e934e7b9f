package session

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The purposes that keys are derived for, and the version that the cookies of these formats begin with. A new format gets a new one of each.
const (
	forToken  = "keyward.dev/console/token/v1"
	forActive = "keyward.dev/console/active/v1"
	forNotice = "keyward.dev/console/notice/v1"
	version   = "v1"
)

var encoding = base64.RawURLEncoding.Strict()

// Credential is what the API server knows a person by, such as an ID token. What prints or encodes it gets no text.
type Credential struct{ reveal func() string }

// NewCredential returns a credential of a text.
func NewCredential(text string) Credential { return Credential{func() string { return text }} }

// Reveal returns the text.
func (c Credential) Reveal() string {
	if c.reveal == nil {
		return ""
	}
	return c.reveal()
}

// MarshalText returns an error.
func (Credential) MarshalText() ([]byte, error) {
	return nil, errors.New("a credential is not encoded")
}

// Claims are what the token says of a sign-in.
type Claims struct {
	// Name and Groups are those that the API server knows the person by.
	Name   string
	Groups []string
	// Credential is empty where the console impersonates people.
	Credential Credential
	// Ends is when the sign-in ends for another reason than its age, as a credential does; the zero time: it does not.
	Ends time.Time

	session     string
	since, seen time.Time
}

// sealed is Claims as JSON. Times are Unix milliseconds.
type sealed struct {
	Session    string   `json:"i"`
	Name       string   `json:"n"`
	Groups     []string `json:"g,omitempty"`
	Credential string   `json:"c,omitempty"`
	Ends       int64    `json:"e,omitempty"`
	Since      int64    `json:"a"`
	Seen       int64    `json:"s"`
}

// seal returns the value of the cookie of the token: the version, the id of the secret, and what is sealed with a key of that.
func (s *Sessions) seal(c Claims) (string, error) {
	flat := sealed{Session: c.session, Name: c.Name, Groups: c.Groups, Credential: c.Credential.Reveal(), Since: c.since.UnixMilli(), Seen: c.seen.UnixMilli()}
	if !c.Ends.IsZero() {
		flat.Ends = c.Ends.UnixMilli()
	}
	text, err := json.Marshal(flat)
	if err != nil {
		return "", fmt.Errorf("encoding the token of a session: %w", err)
	}
	return s.config.Ring.Seal(s.config.Now(), forToken, s.token.Full(), text)
}

// open returns what is sealed in the value of a cookie, and whether the newest secret sealed it. It does not compare times.
func (s *Sessions) open(value string) (c Claims, newest, ok bool) {
	text, newest, ok := s.config.Ring.Open(s.config.Now(), forToken, s.token.Full(), value)
	if !ok {
		return c, false, false
	}
	var flat sealed
	if json.Unmarshal(text, &flat) != nil || flat.Session == "" || flat.Name == "" {
		return c, false, false
	}
	c = Claims{
		Name: flat.Name, Groups: flat.Groups, Credential: NewCredential(flat.Credential),
		session: flat.Session, since: time.UnixMilli(flat.Since), seen: time.UnixMilli(flat.Seen),
	}
	if flat.Ends != 0 {
		c.Ends = time.UnixMilli(flat.Ends)
	}
	return c, newest, true
}
