package apikey

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// pendingPlaintexts are the texts of Pending versions, in memory only. Beside the consumer's Secret this is the only
// place where a key exists in plain, from its minting until it is delivered. Of a key that is imported by its hash there is
// the digest only. The zero value is empty.
type pendingPlaintexts struct {
	mu   sync.Mutex
	keys map[types.UID]pendingPlaintext
}

type pendingPlaintext struct {
	version int64
	key     keyformat.Key
	digest  keyformat.Digest // plain
}

func (p *pendingPlaintexts) put(uid types.UID, version int64, key credential) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(uid, version, key)
}

// putUnique is put, unless another ApiKey has the same text. It reports whether it was put.
func (p *pendingPlaintexts) putUnique(uid types.UID, version int64, key credential) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, k := range p.keys {
		if other != uid && k.digest == key.plain {
			return false
		}
	}
	p.set(uid, version, key)
	return true
}

func (p *pendingPlaintexts) set(uid types.UID, version int64, key credential) {
	if p.keys == nil {
		p.keys = map[types.UID]pendingPlaintext{}
	}
	p.keys[uid] = pendingPlaintext{version, key.text, key.plain}
}

// get returns the version that is pending, if there is one, and its text, if that is known.
func (p *pendingPlaintexts) get(uid types.UID) (version int64, key keyformat.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys[uid]
	return k.version, k.key
}

func (p *pendingPlaintexts) drop(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.keys, uid)
}
