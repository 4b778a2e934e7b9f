package apikey

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// pendingPlaintexts are the texts of Pending versions, in memory only. Beside the consumer's Secret this is the only
// place where a key exists in plain, from its minting until it is delivered. The zero value is empty.
type pendingPlaintexts struct {
	mu   sync.Mutex
	keys map[types.UID]pendingPlaintext
}

type pendingPlaintext struct {
	version int64
	key     keyformat.Key
}

func (p *pendingPlaintexts) put(uid types.UID, version int64, key keyformat.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys == nil {
		p.keys = map[types.UID]pendingPlaintext{}
	}
	p.keys[uid] = pendingPlaintext{version, key}
}

// putUnique is put, unless another ApiKey has the same text. It reports whether it was put.
func (p *pendingPlaintexts) putUnique(uid types.UID, version int64, key keyformat.Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, k := range p.keys {
		if other != uid && k.key.Digest() == key.Digest() {
			return false
		}
	}
	if p.keys == nil {
		p.keys = map[types.UID]pendingPlaintext{}
	}
	p.keys[uid] = pendingPlaintext{version, key}
	return true
}

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
