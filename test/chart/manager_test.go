package chart

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/hack/ports"
	"github.com/keyward-dev/keyward/hack/run/mounts"
	"github.com/keyward-dev/keyward/hack/run/processes"
)

// manager is the real one, with what its Pods would have: the rights of its ServiceAccount and its configuration, both from
// the release.
type manager struct {
	*helm
	binary                string
	webhooks, health, log string
	starts                int
	cmd                   *exec.Cmd
	end                   context.CancelFunc
}

func newManager(t *testing.T, h *helm) *manager {
	t.Helper()
	m := &manager{helm: h, binary: buildProgram(t, "manager")}
	for _, address := range []*string{&m.webhooks, &m.health} {
		var err error
		if *address, err = ports.Free(); err != nil {
			t.Fatal(err)
		}
	}
	_, h.webhookPort, _ = net.SplitHostPort(m.webhooks)
	t.Cleanup(m.stop)
	return m
}

// buildProgram builds a program of this repository.
func buildProgram(t *testing.T, name string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/"+name)
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return binary
}

// start starts the manager as the release has it now.
func (m *manager) start() {
	m.t.Helper()
	m.starts++
	dir := filepath.Join(m.t.TempDir(), fmt.Sprint(m.starts))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	var ctx context.Context
	ctx, m.end = context.WithCancel(context.Background())
	complain := func(err error) {
		if ctx.Err() == nil {
			m.t.Log(err)
		}
	}
	token := mounts.Token{Namespace: systemNamespace, ServiceAccount: "keyward-manager", Dir: filepath.Join(dir, "token")}
	if err := token.Project(ctx, m.core, complain); err != nil {
		m.t.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := mounts.WriteKubeconfig(kubeconfig, m.config, token.Path()); err != nil {
		m.t.Fatal(err)
	}
	configuration, err := m.core.CoreV1().ConfigMaps(systemNamespace).Get(ctx, "keyward-configuration", metav1.GetOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	config := filepath.Join(dir, "manager.yaml")
	if err := os.WriteFile(config, []byte(configuration.Data["manager.yaml"]), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.run(dir, "--kubeconfig="+kubeconfig, "--config="+config)
}

// run runs it, with ports of this machine.
func (m *manager) run(dir string, arguments ...string) {
	m.t.Helper()
	m.log = filepath.Join(dir, "manager.log")
	log, err := os.Create(m.log)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the program has its own descriptor
	m.cmd = exec.Command(m.binary, append(arguments,
		"--webhook-bind-address="+m.webhooks, "--health-probe-bind-address="+m.health, "--metrics-bind-address=0",
		"--sync-bind-address=127.0.0.1:0", "--sync-startup-grace=100ms", "--sync-grace=100ms", "--leader-elect=false")...)
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, "the manager", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.health+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("%w; its log:\n%s", err, processes.Tail(m.log))
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("it is not ready: %s", response.Status)
		}
		return nil
	})
}

func (m *manager) stop() {
	if m.cmd == nil {
		return
	}
	m.end()
	_ = m.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = m.cmd.Wait()                          // its state does not matter
	m.cmd = nil
	if log, err := os.ReadFile(m.log); err == nil {
		if _, first, refused := strings.Cut(string(log), "is forbidden: "); refused { // as after an uninstallation
			first, _, _ = strings.Cut(first, "\n")
			m.t.Logf("the manager was refused %d times, at first: %.200s", strings.Count(string(log), "is forbidden: "), first)
		}
	}
}

// restart replaces the manager, as a Deployment does.
func (m *manager) restart() {
	m.t.Helper()
	m.stop()
	m.start()
}
