package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// runAsValidator makes the test binary the validator, so that tests have real processes.
const runAsValidator = "KEYWARD_TEST_RUN_AS_VALIDATOR"

func TestMain(m *testing.M) {
	if os.Getenv(runAsValidator) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), runAsValidator+"=1")
	return cmd
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		out    string
	}{
		{[]string{"--version"}, 0, "keyward-validator unknown (revision unknown, go"},
		{[]string{"--help"}, 0, "Usage: keyward-validator"},
		{[]string{"--upstream=nowhere"}, exitUsage, "--upstream"},
		{[]string{"--upstream=nowhere"}, exitUsage, "http://127.0.0.1:9000"},
		{[]string{"--http-bind-address=256.0.0.1:1"}, exitFailure, "keyward-validator: --http-bind-address"},
	} {
		cmd := command(t, c.args...)
		out, _ := cmd.CombinedOutput() // the exit code is compared below
		// A flag's own parser spells it with one dash.
		text := strings.ReplaceAll(string(out), "flag -", "flag --")
		if cmd.ProcessState.ExitCode() != c.status || !strings.Contains(text, c.out) {
			t.Errorf("%q: %d %s", c.args, cmd.ProcessState.ExitCode(), out)
		}
		if c.status != 0 && strings.Count(text, "\n") != 1 {
			t.Errorf("%q: not one line: %s", c.args, out)
		}
	}
}

// process is a separate validator process, and where it serves.
type process struct {
	cmd         *exec.Cmd
	http, proxy string
	logs        *bytes.Buffer // complete after wait
	read        chan struct{}
}

func launch(t *testing.T, m *fakemanager.Manager, dir string) *process {
	t.Helper()
	return start(t, command(t, arguments(m, dir)...))
}

func arguments(m *fakemanager.Manager, dir string) []string {
	return []string{"--http-bind-address=127.0.0.1:0", "--grpc-bind-address=127.0.0.1:0", "--admin-bind-address=127.0.0.1:0",
		"--instance=validator-0",
		"--sync-address=" + m.Address, "--sync-server-name=" + fakemanager.ServerName, "--sync-ca-file=" +
			m.CAFile, "--sync-token-file=" + m.TokenFile,
		"--snapshot-dir=" + dir, "--shutdown-delay=0s", "--log-level=debug"}
}

// start returns when the process serves, which it does once it has read its journal.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, logs: &bytes.Buffer{}, read: make(chan struct{})}
	addresses := make(chan [2]string, 1)
	go func() {
		defer close(p.read)
		lines := bufio.NewScanner(io.TeeReader(stderr, p.logs))
		for lines.Scan() {
			var line struct {
				Msg         string
				HTTP, Proxy address
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				addresses <- [2]string{line.HTTP.url(), line.Proxy.url()}
			}
		}
	}()
	select {
	case serving := <-addresses:
		p.http, p.proxy = serving[0], serving[1]
	case <-p.read:
		t.Fatalf("it did not start: %s", p.logs)
	}
	return p
}

// address is one as the log has it.
type address struct {
	IP   string
	Port json.Number
}

func (a address) url() string { return "http://" + a.IP + ":" + a.Port.String() }

func (p *process) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	<-p.read
	err := p.cmd.Wait()
	if signal == syscall.SIGTERM && err != nil {
		t.Errorf("it did not end properly: %v", err)
	}
}

// verify returns the code of the verdict on a request with the key.
func (p *process) verify(t *testing.T, key keyformat.Key) string {
	t.Helper()
	request, err := json.Marshal(map[string]string{"key": key.Reveal(), "method": "GET", "path": "/x"})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(p.http+"/v1/verify", "application/json", bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var verdict struct{ Code string }
	if err := json.NewDecoder(response.Body).Decode(&verdict); err != nil {
		t.Fatal(err)
	}
	return verdict.Code
}

// TestRevocationSurvivesKill kills the process right after it has acknowledged a revocation: it starts again without
// its manager, and still refuses the key.
func TestRevocationSurvivesKill(t *testing.T) {
	m, dir := fakemanager.Start(t), t.TempDir()
	kept, revoked := fixture.Mint(t), fixture.Mint(t)
	p := launch(t, m, dir)
	stream := m.Next()
	stream.Send(&syncv1.Update{
		Revision: 1, CaughtUp: true,
		Groups: []*syncv1.Group{{Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
			Projects: []*syncv1.Project{{Name: "default", OwnsAll: true, Origins: &syncv1.OriginPolicy{AllowMissing: true}}}}},
		Keys: []*syncv1.Key{wire("kept", kept), wire("revoked", revoked)},
	})
	if got := p.verify(t, revoked); got != "allowed" {
		t.Fatalf("before: %s", got)
	}
	record := wire("revoked", revoked)
	record.Versions[0].Revoked = true
	stream.Send(&syncv1.Update{Revision: 2, Keys: []*syncv1.Key{record}})
	p.end(t, syscall.SIGKILL)
	m.Stop()

	again := launch(t, m, dir)
	if got := again.verify(t, revoked); got != "key_revoked" {
		t.Errorf("the revoked key: %s", got)
	}
	if got := again.verify(t, kept); got != "allowed" {
		t.Errorf("the other key: %s", got)
	}
	again.end(t, syscall.SIGTERM)

	written := p.logs.String() + again.logs.String()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing was kept: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		written += string(data)
	}
	for _, secret := range []string{kept.Reveal(), revoked.Reveal(), fakemanager.Token} {
		if strings.Contains(written, secret) {
			t.Error("a secret was written")
		}
	}
}

func wire(id string, key keyformat.Key) *syncv1.Key {
	digest := key.Digest()
	return &syncv1.Key{
		Id: id, Group: "tenants/acme", Projects: []string{"default"}, Permissions: []string{"read"},
		Versions: []*syncv1.Version{{Digest: digest[:]}},
	}
}
