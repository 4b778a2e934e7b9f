package leaks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Headers of GitHub's secret scanning partner program.
const (
	headerKeyID     = "Github-Public-Key-Identifier"
	headerSignature = "Github-Public-Key-Signature"
)

const (
	maxKeyID        = 128
	maxSignature    = 256
	maxKeysDocument = 256 << 10
	maxKeys         = 64
	keysTTL         = time.Hour
	// keysRetry is how soon keys are fetched again for an id that is not among them: anybody can send one.
	keysRetry    = time.Minute
	fetchTimeout = 10 * time.Second
)

var errSignature = errors.New("the signature is not that of the body, by a key of the scanner")

// publicKeys are the keys with which a scanner signs its reports. They are fetched when they are needed.
//
// mu guards the rest; it is held while keys are fetched, so that they are fetched once.
type publicKeys struct {
	url    string
	client *http.Client
	clock  clock.PassiveClock

	mu      sync.Mutex
	keys    map[string]*ecdsa.PublicKey
	fetched time.Time // when they were fetched last
	tried   time.Time // when it was tried last
}

func newPublicKeys(url string, clk clock.PassiveClock) *publicKeys {
	return &publicKeys{url: url, clock: clk, client: &http.Client{
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// verify checks the signature of a body.
func (p *publicKeys) verify(ctx context.Context, id, signature string, body []byte) error {
	if id == "" || len(id) > maxKeyID || len(signature) > maxSignature {
		return errSignature
	}
	decoded, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return errSignature
	}
	key, err := p.key(ctx, id)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(body)
	if key == nil || !ecdsa.VerifyASN1(key, digest[:], decoded) {
		return errSignature
	}
	return nil
}

// key returns the key with the id; nil if the scanner has none.
func (p *publicKeys) key(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	fresh := !p.fetched.IsZero() && now.Before(p.fetched.Add(keysTTL))
	if key := p.keys[id]; key != nil && fresh {
		return key, nil
	}
	if !p.tried.IsZero() && now.Before(p.tried.Add(keysRetry)) {
		if p.fetched.IsZero() {
			return nil, errors.New("the keys of the scanner could not be fetched")
		}
		return p.keys[id], nil
	}
	p.tried = now
	keys, err := p.fetch(ctx)
	switch {
	case err == nil:
		p.keys, p.fetched = keys, now
	case p.keys[id] == nil:
		return nil, err
	}
	return p.keys[id], nil // an earlier key is better than none while they cannot be fetched
}

func (p *publicKeys) fetch(ctx context.Context) (map[string]*ecdsa.PublicKey, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching the keys of the scanner: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := p.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetching the keys of the scanner: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxKeysDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetching the keys of the scanner: %w", err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("fetching the keys of the scanner: %s", response.Status)
	case len(body) > maxKeysDocument:
		return nil, fmt.Errorf("fetching the keys of the scanner: more than %d bytes", maxKeysDocument)
	}
	return parsePublicKeys(body)
}

// parsePublicKeys reads the keys that are ECDSA keys on P-256.
func parsePublicKeys(body []byte) (map[string]*ecdsa.PublicKey, error) {
	var document struct {
		PublicKeys []struct {
			ID  string `json:"key_identifier"`
			PEM string `json:"key"`
		} `json:"public_keys"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, fmt.Errorf("reading the keys of the scanner: %w", err)
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, entry := range document.PublicKeys {
		block, _ := pem.Decode([]byte(entry.PEM))
		if block == nil || entry.ID == "" || len(entry.ID) > maxKeyID || len(keys) >= maxKeys {
			continue
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			continue
		}
		if key, ok := parsed.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P256() {
			keys[entry.ID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("reading the keys of the scanner: there is no ECDSA key on P-256 among them")
	}
	return keys, nil
}
