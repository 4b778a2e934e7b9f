package publish

import (
	"bytes"
	"context"
	"errors"
	"time"

	logf "sigs.k8s.io/controller-runtime/pkg/log"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// SignsURLs reports whether the key may sign URLs.
func SignsURLs(key *v1alpha1.ApiKey) bool { return key.Spec.SignedURLs != nil && *key.Spec.SignedURLs }

// needsURLSecrets reports whether the record of the key has secrets of signed URLs.
func needsURLSecrets(key *v1alpha1.ApiKey) bool {
	if !SignsURLs(key) {
		return false
	}
	for i := range key.Status.Versions {
		if key.Status.Versions[i].URLSecret != "" {
			return true
		}
	}
	return false
}

// SigningKeyRecord is KeyRecord with the secrets of signed URLs, if the key has any. A secret that cannot be opened is left out:
// the version signs nothing then.
func SigningKeyRecord(key *v1alpha1.ApiKey, granted grant.Granted, open func(sealed, digest string) ([]byte, error)) *syncv1.Key {
	record := KeyRecord(key, granted)
	if record == nil || !needsURLSecrets(key) {
		return record
	}
	for i := range key.Status.Versions {
		v := &key.Status.Versions[i]
		if v.URLSecret == "" {
			continue
		}
		secret, err := open(v.URLSecret, v.Digest)
		if err != nil {
			continue
		}
		read, _ := keyformat.ReadDigest(v.Digest) // the schema allows no other form
		for _, version := range record.GetVersions() {
			if bytes.Equal(version.GetDigest(), read.Digest[:]) {
				version.UrlSecret = secret
			}
		}
	}
	return record
}

const (
	// sealsPatience is how long the manager's secret may take to be read, and sealsPause how long to wait after that has failed.
	sealsPatience = 2 * time.Second
	sealsPause    = 5 * time.Second
)

var errSealsUnknown = errors.New("the manager's secret, which opens secrets of signed URLs, could not be read yet")

// seals reads the manager's secret for a Projector.
type seals struct {
	wanted chan struct{} // one slot: a key needs it
	tried  bool          // before the Hub was open
}

// wantSeals has the manager's secret read, if it is not known and the key needs it. That asks the API server, which may not answer.
// Once the Hub is open, nobody waits for it, neither other keys nor this one, whose secrets follow. Before, it is tried once: a
// new leader that publishes keys without their secrets would take these from validation servers.
func (p *Projector) wantSeals(ctx context.Context, key *v1alpha1.ApiKey) {
	if p.Seals == nil || p.Seals.Known() != nil || key == nil || !needsURLSecrets(key) {
		return
	}
	if p.firstForSeals() {
		p.readSeals(ctx)
		return
	}
	select {
	case p.seals.wanted <- struct{}{}:
	default:
	}
}

// firstForSeals reports whether the Hub is not open yet, and nobody has tried.
func (p *Projector) firstForSeals() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.relabelled != nil && !p.seals.tried
	p.seals.tried = p.seals.tried || first
	return first
}

func (p *Projector) readSeals(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sealsPatience)
	defer cancel()
	if _, err := p.Seals.Keys(ctx); err != nil {
		logf.FromContext(ctx).Error(err, "Reading the manager's secret failed; it is tried again")
	}
}

// readWantedSeals reads the manager's secret when a key needs it, until the context ends. The keys that need it are tried again anyway.
func (p *Projector) readWantedSeals(ctx context.Context) {
	for {
		select {
		case <-p.seals.wanted:
		case <-ctx.Done():
			return
		}
		if p.Seals.Known() != nil {
			continue
		}
		p.readSeals(ctx)
		select {
		case <-p.Hub.clock.After(sealsPause):
		case <-ctx.Done():
			return
		}
	}
}

// record is the record of a key as it is published. While the manager's secret is not known, it has no secrets of signed URLs, and
// there is an error: a revocation must not wait for them.
func (p *Projector) record(key *v1alpha1.ApiKey, granted grant.Granted) (*syncv1.Key, error) {
	if p.Seals == nil || !needsURLSecrets(key) {
		return KeyRecord(key, granted), nil
	}
	keys := p.Seals.Known()
	if keys == nil {
		return KeyRecord(key, granted), errSealsUnknown
	}
	return SigningKeyRecord(key, granted, keys.OpenURLSecret), nil
}
