package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// root is the repository.
var root = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}()

func bin(path ...string) string { return filepath.Join(append([]string{root, "bin"}, path...)...) }

func TestMain(m *testing.M) {
	if reason := cannot(); reason != "" {
		fmt.Println("node: skipped:", reason)
		os.Exit(0)
	}
	log.SetLogger(logr.Discard()) // of clients in this process; the programs have their own
	os.Exit(m.Run())
}

// cannot returns why the tests cannot run, if they cannot.
func cannot() string {
	if os.Getenv("KEYWARD_NODE") == "" {
		return "these tests start a node: make test-node"
	}
	for _, program := range []string{"devcluster", "node/devcluster-node", "static/manager"} {
		if _, err := os.Stat(bin(program)); err != nil {
			return "bin/" + program + " is missing: make test-node builds it"
		}
	}
	if out, err := exec.Command(bin("devcluster"), "check-node").CombinedOutput(); err != nil {
		return strings.TrimSpace(string(out))
	}
	return ""
}
