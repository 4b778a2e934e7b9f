package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// runAsConsole makes the test binary the console, so that tests have real processes.
const runAsConsole = "KEYWARD_TEST_RUN_AS_CONSOLE"

func TestMain(m *testing.M) {
	if os.Getenv(runAsConsole) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), runAsConsole+"=1")
	return cmd
}

func TestCommandLine(t *testing.T) {
	good := []string{"--origin=https://console.example", "--behind-proxy", "--api-server=https://127.0.0.1:1"}
	for _, c := range []struct {
		args   []string
		status int
		out    string
	}{
		{[]string{"--version"}, 0, "keyward-console unknown (revision unknown, go"},
		{[]string{"--help"}, 0, "Usage: keyward-console"},
		{good, exitUsage, "keyward-console: --keys-dir is required"},
		{append(good, "--keys-dir="+t.TempDir()), exitFailure, "keyward-console: --keys-dir: there is no secret of cookies"},
	} {
		cmd := command(t, c.args...)
		out, _ := cmd.CombinedOutput() // the exit code is compared below
		if cmd.ProcessState.ExitCode() != c.status || !strings.Contains(string(out), c.out) {
			t.Errorf("%q: %d %s", c.args, cmd.ProcessState.ExitCode(), out)
		}
		if c.status != 0 && strings.Count(string(out), "\n") != 1 {
			t.Errorf("%q: not one line: %s", c.args, out)
		}
	}
}

// TestServesUntilSIGTERM starts a console whose API server does not answer: it serves, says that it is not ready, and ends in order.
func TestServesUntilSIGTERM(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "20261127T120000Z"), make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "--keys-dir="+dir, "--origin=https://console.example", "--behind-proxy", "--api-server=https://127.0.0.1:1",
		"--api-server-ca-file=", "--listen=127.0.0.1:0", "--health-listen=127.0.0.1:0", "--metrics-listen=")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var serving struct{ Msg, Pages, Health string }
	for serving.Msg != "serving" && lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &serving); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
	}
	for address, want := range map[string]int{
		"http://" + serving.Pages + "/sign-in": http.StatusOK, "http://" + serving.Health + "/readyz": http.StatusServiceUnavailable,
		"http://" + serving.Health + "/healthz": http.StatusOK,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %s, want %d", address, response.Status, want)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
