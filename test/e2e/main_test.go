package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	// The programs are built from it, so that the go tool never reuses a result of other programs.
	_ "github.com/keyward-dev/keyward/server"
)

// root is the repository.
var root = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}()

func bin(path ...string) string { return filepath.Join(append([]string{root, "bin"}, path...)...) }

var shared struct {
	sync.Mutex

	cluster *cluster
	err     error
}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // of clients in this process; the programs have their own
	code := m.Run()
	if c := shared.cluster; c != nil {
		c.shutDown()
		for _, panicked := range panics(c.path("logs")) {
			fmt.Fprintln(os.Stderr, "e2e: a program has panicked: "+panicked)
			code = 1
		}
		if code == 0 {
			_ = os.RemoveAll(c.dir) // what cannot be removed stays in the temporary directory
		} else {
			fmt.Fprintf(os.Stderr, "e2e: logs and data are kept in %s\n", c.dir)
		}
	}
	os.Exit(code)
}

// requireKubernetes skips the test where Kubernetes is not built.
func requireKubernetes(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(bin("devcluster")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("bin/devcluster is missing: make bin/devcluster")
		}
		t.Skip("bin/devcluster is missing, so there is no Kubernetes API to test on: make bin/devcluster")
	}
}

// theCluster returns the cluster of all tests. The first call starts it.
func theCluster(t testing.TB) *cluster {
	t.Helper()
	requireKubernetes(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		begin := time.Now()
		shared.cluster, shared.err = startCluster()
		t.Logf("the cluster took %s", time.Since(begin).Round(time.Millisecond))
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// build builds the programs from the current sources; what is up to date costs almost nothing. Tests that run at the same
// time build them once.
func build(ctx context.Context) error {
	if err := os.MkdirAll(bin("e2e"), 0o755); err != nil {
		return err
	}
	lock, err := os.Create(bin("e2e", "lock"))
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // which unlocks it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	for _, arguments := range [][]string{
		{"-o", bin("e2e", "keyward-manager"), "./cmd/manager"},
		{"-o", bin("e2e", "keyward-validator"), "./cmd/validator"},
		{"-tags", "failpoints", "-o", bin("e2e", "keyward-manager-failpoints"), "./cmd/manager"},
	} {
		if err := goBuild(ctx, arguments...); err != nil {
			return err
		}
	}
	return nil
}

func goBuild(ctx context.Context, arguments ...string) error {
	build := []string{"build"}
	if os.Getenv(raceEnvironment) != "" {
		build = append(build, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(build, arguments...)...)
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", strings.Join(arguments, " "), err, output)
	}
	return nil
}

// eventually polls until the condition holds, and fails the test with its last error if that takes too long.
func eventually(t testing.TB, what string, patience time.Duration, condition func() error) {
	t.Helper()
	if err := poll(t.Context(), patience, condition); err != nil {
		t.Fatalf("waiting %s for %s: %v", patience, what, err)
	}
}

// poll returns the last error if the condition does not hold in time.
func poll(ctx context.Context, patience time.Duration, condition func() error) error {
	const interval = 20 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		case <-ctx.Done():
			return err
		}
	}
}
