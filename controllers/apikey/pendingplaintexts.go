package apikey

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// held are the texts of Pending versions: the only place, beside the consumer's Secret,
// where a key exists in plain, from its minting until it is delivered. The zero value holds
// none.
type pendingPlaintexts struct {
	mu   sync.Mutex
	keys map[types.UID]pendingPlaintext
}

type pendingPlaintext struct {
	version int64
	key     keyformat.Key
}

func (h *pendingPlaintexts) put(uid types.UID, version int64, key keyformat.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys == nil {
		h.keys = map[types.UID]pendingPlaintext{}
	}
	h.keys[uid] = pendingPlaintext{version, key}
}

// putOnly is put, unless the same text is held for another ApiKey.
func (h *pendingPlaintexts) putUnique(uid types.UID, version int64, key keyformat.Key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for other, k := range h.keys {
		if other != uid && k.key.Digest() == key.Digest() {
			return false
		}
	}
	if h.keys == nil {
		h.keys = map[types.UID]pendingPlaintext{}
	}
	h.keys[uid] = pendingPlaintext{version, key}
	return true
}

func (h *pendingPlaintexts) get(uid types.UID) (version int64, key keyformat.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.keys[uid]
	return k.version, k.key
}

func (h *pendingPlaintexts) drop(uid types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.keys, uid)
}
