package store

import (
	"log/slog"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// TestDirectoryIsSynced: whenever a new journal has replaced another, its name is synced to the disk before anything is
// acknowledged that is in it.
func TestDirectoryIsSynced(t *testing.T) {
	dir := t.TempDir()
	synced, sync := 0, syncDirectory
	syncDirectory = func(path string) error {
		if _, err := os.Stat(journalPath(dir)); err != nil || path != dir {
			t.Errorf("%s is synced without its journal: %v", path, err)
		}
		if _, err := os.Stat(journalPath(dir) + ".new"); err == nil {
			t.Error("it is synced before the new journal has its name")
		}
		synced++
		return sync(path)
	}
	t.Cleanup(func() { syncDirectory = sync })
	s, err := Open(Config{Dir: dir}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if synced != 1 {
		t.Errorf("synced %d times for a new journal", synced)
	}
	name := make([]byte, 64<<10)
	for i := range name {
		name[i] = 'x'
	}
	for i := 0; synced < 2; i++ {
		if i > 100 {
			t.Fatal("the journal was not compacted, or its directory not synced")
		}
		group := &syncv1.Group{Namespace: "tenants", Name: "acme", DisplayName: string(name),
			Projects: []*syncv1.Project{{Name: "default", OwnsAll: true}}}
		if err := s.Apply(&syncv1.Update{Groups: []*syncv1.Group{group}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
