// Package content verifies what Keyward says about a request.
package content

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Principal is whose request it is.
type Principal struct {
	jwt.Claims // Subject is the key's id, ID the request's

	Group       string            `json:"group"`
	Project     string            `json:"project"`
	Permissions []string          `json:"permissions"`
	Context     map[string]string `json:"context"`
}

// Verifier verifies principals with the keys that a validation server publishes.
type Verifier struct {
	Keys string // such as http://127.0.0.1:8081/.well-known/keyward/jwks.json

	mu    sync.Mutex
	known jose.JSONWebKeySet
	read  time.Time // when they were read, and when that was tried the last time
	tried time.Time
}

// Verify returns the principal of a request.
func (v *Verifier) Verify(r *http.Request) (*Principal, error) {
	lines := r.Header.Values("X-Keyward-Principal")
	if len(lines) != 1 {
		return nil, errors.New("not one principal")
	}
	token, err := jwt.ParseSigned(lines[0], []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, err
	}
	if token.Headers[0].ExtraHeaders[jose.HeaderType] != "keyward-principal+jwt" {
		return nil, errors.New("another kind of token")
	}
	key, err := v.find(r.Context(), token.Headers[0].KeyID)
	if err != nil {
		return nil, err
	}
	var p Principal
	if err := token.Claims(key, &p); err != nil { // verifies the signature
		return nil, err
	}
	expected := jwt.Expected{Issuer: "keyward.dev", AnyAudience: jwt.Audience{"keyward.dev/content"}, Time: time.Now()}
	return &p, p.ValidateWithLeeway(expected, 5*time.Second)
}

// find reads the keys every five minutes, and earlier if there is a new one, but not more often than every ten seconds.
func (v *Verifier) find(ctx context.Context, id string) (any, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	stale := func() bool { return time.Since(v.read) > 5*time.Minute }
	if (stale() || len(v.known.Key(id)) == 0) && time.Since(v.tried) > 10*time.Second {
		v.tried = time.Now()
		if err := v.fetch(ctx); err != nil {
			return nil, err
		}
	}
	if stale() {
		return nil, errors.New("the keys could not be read")
	}
	if found := v.known.Key(id); len(found) == 1 {
		return found[0].Key, nil
	}
	return nil, fmt.Errorf("unknown key %q", id)
}

func (v *Verifier) fetch(ctx context.Context) error {
	// Other requests need the keys, too, when the client of this one has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.Keys, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		return err
	}
	v.known, v.read = set, time.Now()
	return nil
}
