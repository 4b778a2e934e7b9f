package oidc

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"k8s.io/utils/lru"

	"github.com/keyward-dev/keyward/console/cookie"
	"github.com/keyward-dev/keyward/console/keyring"
)

const (
	// Lasts is how long somebody may take at the provider.
	Lasts = 10 * time.Minute

	purpose  = "keyward.dev/console/oidc/v1"
	skew     = time.Minute // between the clocks of two replicas
	mostUsed = 16_384      // sign-ins that are remembered as over, in 4 MB
)

// flow is a sign-in that a browser has begun, as it is sealed in a cookie. State is also in the address at the provider and comes back in that of the
// callback, so nobody can have another browser end a sign-in. Nonce comes back in the ID token; Verifier (RFC 7636) is shown for the code.
type flow struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Next     string `json:"x,omitempty"`
	Began    int64  `json:"b"` // Unix milliseconds
}

// flows has those of all browsers, in their cookies, and which of them are over.
type flows struct {
	ring   *keyring.Ring
	now    func() time.Time
	cookie cookie.Kind

	mu   sync.Mutex
	used *lru.Cache // of SHA-256 of states; a code is good once at the provider, too
}

func newFlows(ring *keyring.Ring, now func() time.Time) *flows {
	return &flows{ring: ring, now: now, cookie: cookie.Kind{Name: "keyward-oidc"}, used: lru.New(mostUsed)}
}

// begin sets the cookie of a new flow, in place of one that the browser had begun.
func (f *flows) begin(w http.ResponseWriter, next string) (flow, error) {
	begun := flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next, Began: f.now().UnixMilli()}
	text, err := json.Marshal(begun)
	if err != nil {
		return flow{}, err
	}
	value, err := f.ring.Seal(f.now(), purpose, f.cookie.Full(), text)
	if err != nil {
		return flow{}, err
	}
	if f.cookie.Check(value) != nil { // a long path to return to is no reason to be refused
		return f.begin(w, "/")
	}
	return begun, f.cookie.Set(w, value)
}

// end returns the flow that a callback belongs to, once, and has the browser forget it. A callback of another flow leaves the cookie: else another site
// could end sign-ins by links.
func (f *flows) end(w http.ResponseWriter, r *http.Request, state string) (begun flow, ok bool) {
	value, ok := f.cookie.Get(r)
	if !ok {
		return flow{}, false
	}
	now := f.now()
	text, _, ok := f.ring.Open(now, purpose, f.cookie.Full(), value)
	if !ok || json.Unmarshal(text, &begun) != nil || begun.State == "" || subtle.ConstantTimeCompare([]byte(begun.State), []byte(state)) != 1 {
		return flow{}, false
	}
	f.cookie.Clear(w)
	began := time.UnixMilli(begun.Began)
	if began.After(now.Add(skew)) || !now.Before(began.Add(Lasts)) {
		return flow{}, false
	}
	digest := sha256.Sum256([]byte(begun.State))
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, over := f.used.Get(digest); over {
		return flow{}, false
	}
	f.used.Add(digest, nil)
	return begun, true
}
