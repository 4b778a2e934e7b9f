package store

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

const million = 1_000_000

// fill returns a store with n keys of 100 groups.
func fill(b *testing.B, n int) *Store {
	b.Helper()
	const groups = 100
	s := open(b, Config{})
	update := &syncv1.Update{}
	for i := range groups {
		update.Groups = append(update.Groups, group(fmt.Sprint("acme-", i)))
	}
	apply(b, s, update)
	update = &syncv1.Update{}
	for i := range n {
		update.Keys = append(update.Keys, key(fmt.Sprint("acme-", i%groups), i))
		if len(update.Keys) == 1000 {
			apply(b, s, update)
			update.Keys = update.Keys[:0]
		}
	}
	update.CaughtUp = true
	apply(b, s, update)
	return s
}

// BenchmarkDecide decides about keys in random order, of which there are many more than fit the processor's caches.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 10_000, million} {
		s := fill(b, n)
		for name, from := range map[string]int{"Hit": 0, "Miss": n} {
			digests := make([]keyformat.Digest, 1<<20)
			for i := range digests {
				digests[i] = digestOf(from + rand.IntN(n))
			}
			b.Run(fmt.Sprintf("Keys=%d/%s", n, name), func(b *testing.B) {
				request := &decision.Request{Credential: decision.Credential{Form: decision.WellFormed}, Method: http.MethodGet,
					Host: "cdn.acme.com", Path: "/x"}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					request.Credential.Digest = digests[i&(len(digests)-1)]
					i++
					if decision.Decide(s, request, start).Allowed() != (name == "Hit") {
						b.Fatal("the wrong decision")
					}
				}
			})
		}
	}
}

// BenchmarkApply changes one key of a million. BenchmarkKnown measures the beginning of a reconnect.
func BenchmarkApply(b *testing.B) {
	s := fill(b, million)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		changed := key(fmt.Sprint("acme-", i%100), i%million)
		changed.Suspended = i%2 == 0
		apply(b, s, &syncv1.Update{Keys: []*syncv1.Key{changed}})
		i += 7919
	}
}

func BenchmarkKnown(b *testing.B) {
	s := fill(b, million)
	for b.Loop() {
		s.known()
	}
}

// BenchmarkReplay starts from a journal with a million keys.
func BenchmarkReplay(b *testing.B) {
	s := fill(b, million)
	s.config.Dir = b.TempDir()
	if err := s.compact(); err != nil {
		b.Fatal(err)
	}
	b.Run("Compact", func(b *testing.B) {
		for b.Loop() {
			if err := s.compact(); err != nil {
				b.Fatal(err)
			}
		}
	})
	config := s.config
	s = nil
	b.Run("Open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			opened := open(b, config)
			if _, keys, _ := opened.Size(); keys != million {
				b.Fatal(keys)
			}
		}
	})
}

// BenchmarkMemory reports how much heap a key takes.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := fill(b, million)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/million, "B/key")
		runtime.KeepAlive(s)
	}
}

// BenchmarkCollect measures a garbage collection while there are many keys.
func BenchmarkCollect(b *testing.B) {
	for _, n := range []int{1, million} {
		s := fill(b, n)
		b.Run(fmt.Sprintf("Keys=%d", n), func(b *testing.B) {
			for b.Loop() {
				runtime.GC()
			}
			runtime.KeepAlive(s)
		})
	}
}

// BenchmarkDecideOnAllCores measures the lock that readers share, alone and while updates change one key after the other.
func BenchmarkDecideOnAllCores(b *testing.B) {
	s := fill(b, 10_000)
	decide := func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			request := &decision.Request{Credential: decision.Credential{Form: decision.WellFormed, Digest: digestOf(rand.IntN(10_000))},
				Method: http.MethodGet, Path: "/x"}
			for p.Next() {
				decision.Decide(s, request, start)
			}
		})
	}
	b.Run("Idle", decide)
	b.Run("Updating", func(b *testing.B) {
		done, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			changed := key("acme-7", 7)
			for {
				select {
				case <-done:
					return
				default:
					s.apply(&syncv1.Update{Keys: []*syncv1.Key{changed}})
				}
			}
		}()
		decide(b)
		close(done)
		<-stopped
	})
}
