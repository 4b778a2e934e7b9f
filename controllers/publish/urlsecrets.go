package publish

import (
	"bytes"
	"context"

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

// record is the record of a key as it is published. If the manager's secret cannot be read, it has no secrets of signed URLs, and
// there is an error: a revocation must not wait for them.
func (p *Projector) record(ctx context.Context, key *v1alpha1.ApiKey, granted grant.Granted) (*syncv1.Key, error) {
	if p.Seals == nil || !needsURLSecrets(key) {
		return KeyRecord(key, granted), nil
	}
	keys, err := p.Seals.Keys(ctx)
	if err != nil {
		return KeyRecord(key, granted), err
	}
	return SigningKeyRecord(key, granted, keys.OpenURLSecret), nil
}
