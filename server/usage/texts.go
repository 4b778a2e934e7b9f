package usage

import (
	"strings"
	"sync"
)

// texts holds strings that many records share, each once, for as long as a record refers to it. Its zero value is empty.
type texts struct {
	numbers map[string]uint32
	slab    slab[text]
}

type text struct {
	string
	references uint32
}

// of returns the text with the number.
func (t *texts) of(number uint32) string { return t.slab.at(number).string }

// refer returns the number of a text, and adds a reference to it.
func (t *texts) refer(to string) uint32 {
	number := t.numbers[to]
	if number == 0 {
		to = strings.Clone(to) // it may be part of a larger string
		if t.numbers == nil {
			t.numbers = map[string]uint32{}
		}
		number = t.slab.take()
		t.slab.at(number).string = to
		t.numbers[to] = number
	}
	t.slab.at(number).references++
	return number
}

// release removes a reference to a text, and forgets the text with the last one.
func (t *texts) release(number uint32) {
	entry := t.slab.at(number)
	if entry.references--; entry.references == 0 {
		delete(t.numbers, entry.string)
		t.slab.release(number)
	}
}

// groups holds the identities, namespace/name, of the groups of keys of all shards. It is used only when a key is added,
// forgotten or reported. Its lock may be taken under the lock of a shard.
type groups struct {
	mu    sync.Mutex
	texts texts
}

func (g *groups) of(number uint32) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.texts.of(number)
}

func (g *groups) refer(to string) uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.texts.refer(to)
}

func (g *groups) release(number uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.texts.release(number)
}
