package store

import (
	"fmt"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/store/keytable"
)

// urlSecrets are the secrets of versions that sign URLs. Few do, so they are beside the table of keys. The zero value has none.
// Nothing in it is ever printed.
type urlSecrets struct {
	byDigest map[keyformat.Digest]string
	byID     map[urltoken.ID]keyformat.Digest
}

// checkURLSecrets refuses a key with a secret that is not one.
func checkURLSecrets(wire *syncv1.Key) error {
	for _, version := range wire.GetVersions() {
		if size := len(version.GetUrlSecret()); size != 0 && size != urltoken.SecretSize {
			return fmt.Errorf("url_secret: it has %d bytes, not %d", size, urltoken.SecretSize)
		}
	}
	return nil
}

// Signer implements decision.Signers.
func (s *Store) Signer(id urltoken.ID) (digest keyformat.Digest, secret []byte, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	digest, ok = s.urls.byID[id]
	return digest, []byte(s.urls.byDigest[digest]), ok
}

// addURLSecrets adds the secrets of versions. The caller holds mu.
func (s *Store) addURLSecrets(versions []keytable.Version) {
	for i := range versions {
		v := &versions[i]
		if v.URLSecret == "" {
			continue
		}
		if s.urls.byDigest == nil {
			s.urls = urlSecrets{map[keyformat.Digest]string{}, map[urltoken.ID]keyformat.Digest{}}
		}
		s.urls.byDigest[v.Digest], s.urls.byID[urltoken.IDOf(v.Digest)] = v.URLSecret, v.Digest
	}
}

// dropURLSecrets removes those of a key that is about to be removed or replaced. The caller holds mu.
func (s *Store) dropURLSecrets(id string) {
	if len(s.urls.byDigest) == 0 {
		return
	}
	for _, v := range s.keys.Versions(nil, id) {
		delete(s.urls.byDigest, v.Digest)
		delete(s.urls.byID, urltoken.IDOf(v.Digest))
	}
}

// fillURLSecrets adds to versions of the table what the table does not have.
func (s *Store) fillURLSecrets(versions []keytable.Version) {
	if len(s.urls.byDigest) == 0 {
		return
	}
	for i := range versions {
		versions[i].URLSecret = s.urls.byDigest[versions[i].Digest]
	}
}
