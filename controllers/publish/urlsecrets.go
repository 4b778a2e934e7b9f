package publish

import (
	"bytes"
	"context"
	"errors"
	"time"

	"k8s.io/utils/ptr"
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

// readSeals reads the manager's secret, if it is not known and the key needs it. It asks the API server, and so is never called under
// the lock: other keys would wait for it.
func (p *Projector) readSeals(ctx context.Context, key *v1alpha1.ApiKey) {
	if p.Seals == nil || p.Seals.Known() != nil || key == nil || !needsURLSecrets(key) {
		return
	}
	if now := p.Hub.clock.Now(); p.sealsFailed.Load() != nil && now.Sub(*p.sealsFailed.Load()) < sealsPause {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sealsPatience)
	defer cancel()
	if _, err := p.Seals.Keys(ctx); err != nil {
		p.sealsFailed.Store(ptr.To(p.Hub.clock.Now()))
		logf.FromContext(ctx).Error(err, "Reading the manager's secret failed; it is tried again")
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
