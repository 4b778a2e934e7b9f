package principal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// volume is a directory as the kubelet writes it: a change of one symbolic link changes all files at once.
type volume struct {
	testing.TB

	dir, version string
}

func (v *volume) write(files map[string][]byte) {
	v.Helper()
	next, err := os.MkdirTemp(v.dir, "..")
	if err != nil {
		v.Fatal(err)
	}
	write(v, next, files)
	link := filepath.Join(v.dir, "link")
	if err := os.Symlink(filepath.Base(next), link); err != nil {
		v.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(v.dir, data)); err != nil {
		v.Fatal(err)
	}
	for name := range files {
		if err := os.Symlink(filepath.Join(data, name), filepath.Join(v.dir, name)); err != nil && !os.IsExist(err) {
			v.Fatal(err)
		}
	}
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		v.Fatal(err)
	}
	for _, entry := range entries {
		if _, has := files[entry.Name()]; !has && !strings.HasPrefix(entry.Name(), "..") {
			if err := os.Remove(filepath.Join(v.dir, entry.Name())); err != nil {
				v.Fatal(err)
			}
		}
	}
	if v.version != "" {
		if err := os.RemoveAll(v.version); err != nil {
			v.Fatal(err)
		}
	}
	v.version = next
}

// rotation is a signer whose clock a test turns.
type rotation struct {
	*testing.T
	*Signer

	volume   *volume
	clock    time.Time
	logs     bytes.Buffer
	registry *prometheus.Registry
}

func newRotation(t *testing.T, files map[string][]byte) *rotation {
	t.Helper()
	r := &rotation{T: t, volume: &volume{TB: t, dir: t.TempDir()}, clock: time.Now(), registry: prometheus.NewRegistry()}
	r.volume.write(files)
	r.restart()
	return r
}

func (r *rotation) restart() {
	r.Helper()
	r.logs.Reset()
	r.registry = prometheus.NewRegistry()
	var err error
	r.Signer, err = New(Config{Path: r.volume.dir}, func() time.Time { return r.clock }, slog.New(slog.NewTextHandler(&r.logs, nil)), r.registry)
	if err != nil {
		r.Fatal(err)
	}
}

// pass lets time pass, as Run does.
func (r *rotation) pass(d time.Duration) {
	for end := r.clock.Add(d); r.clock.Before(end); {
		r.clock = r.clock.Add(min(time.Minute, end.Sub(r.clock)))
		_ = r.Reload()
	}
}

// want compares the file with the key that signs, and those that are published.
func (r *rotation) want(what, signing string, published ...string) {
	r.Helper()
	ring := r.ring.Load()
	if got := filesOf(ring.keys); ring.signing.file != signing || !slices.Equal(got, published) {
		r.Errorf("%s: %s signs and %v are published, want %s and %v", what, ring.signing.file, got, signing, published)
	}
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(r.Set(), &set); err != nil || len(set.Keys) != len(published) {
		r.Fatalf("%s: %s, %v", what, r.Set(), err)
	}
	for i, k := range set.Keys {
		if k.ID != ring.keys[i].id || k.X != ring.keys[i].public {
			r.Errorf("%s: %s", what, r.Set())
		}
	}
	at := slices.Index(published, signing)
	for state, want := range map[string]int{"previous": at, "signing": 1, "next": len(published) - 1 - at} {
		if got := testutil.ToFloat64(r.keys.WithLabelValues(state)); got != float64(want) {
			r.Errorf("%s: %v keys are %s, want %d", what, got, state, want)
		}
	}
}

func TestRotation(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	r := newRotation(t, map[string][]byte{"a": a})
	r.want("one key", "a", "a")
	r.volume.write(map[string][]byte{"a": a, "b": b})
	r.want("before it is read", "a", "a")
	r.pass(reread)
	r.want("a new key", "a", "a", "b")
	r.pass(ahead - time.Second)
	r.want("not yet", "a", "a", "b")
	r.pass(time.Second)
	r.want("published for long enough", "b", "a", "b")
	r.volume.write(map[string][]byte{"b": b})
	r.pass(reread)
	r.want("the old one is removed", "b", "b")
	if logs := r.logs.String(); strings.Contains(logs, "WARN") || strings.Contains(logs, "ERROR") || strings.Count(logs, "keys for principals") != 4 {
		t.Errorf("logs:\n%s", logs)
	}
	r.volume.write(map[string][]byte{"b": b, "c": c, "a": a})
	r.pass(reread)
	r.want("an older one comes back beside a new one", "b", "a", "b", "c")
	r.pass(ahead)
	r.want("the newest of them", "c", "a", "b", "c")
}

// TestStart: a server that has just started does not know how long the newest key has been published by others.
func TestStart(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	r := newRotation(t, map[string][]byte{"a": a, "b": b, "c": c})
	r.want("at first", "b", "a", "b", "c")
	r.pass(ahead)
	r.want("later", "c", "a", "b", "c")
	r.restart()
	r.want("at the next start", "b", "a", "b", "c")
}

// TestReplacement: without an overlap there is only one key to sign with.
func TestReplacement(t *testing.T) {
	r := newRotation(t, map[string][]byte{"a": newPEM(t)})
	r.volume.write(map[string][]byte{"b": newPEM(t)})
	r.pass(reread)
	r.want("replaced", "b", "b")
	if logs := r.logs.String(); !strings.Contains(logs, "not published before") {
		t.Errorf("logs:\n%s", logs)
	}
}

func TestBadKeysLater(t *testing.T) {
	a, b := newPEM(t), newPEM(t)
	r := newRotation(t, map[string][]byte{"a": a})
	invalid := func(want float64) {
		t.Helper()
		if got := testutil.ToFloat64(r.invalid); got != want {
			t.Errorf("invalid: %v, want %v", got, want)
		}
	}
	invalid(0)
	r.volume.write(map[string][]byte{"a": a, "b": b[:40]})
	r.pass(ahead)
	r.want("one is broken", "a", "a")
	invalid(1)
	if got := strings.Count(r.logs.String(), "ERROR"); got != 1 {
		t.Errorf("%d errors:\n%s", got, &r.logs)
	}
	r.volume.write(map[string][]byte{"a": a, "b": b})
	r.pass(reread)
	r.want("fixed", "a", "a", "b")
	invalid(0)
	if strings.Contains(r.logs.String(), "PRIVATE") || strings.Contains(r.logs.String(), string(b[30:60])) {
		t.Error("the log has a key")
	}
}

// TestRunReads reads the keys without a request.
func TestRunReads(t *testing.T) {
	r := newRotation(t, map[string][]byte{"a": newPEM(t)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Signer.Run(ctx) // ends
	if _, err := New(Config{Path: filepath.Join(t.TempDir(), "none")}, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil {
		t.Error("no keys at the start are no error")
	}
	if got := fmt.Sprint(r.config); strings.Contains(got, "PRIVATE") {
		t.Error(got)
	}
}
