package sender_test

import (
	"bufio"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
)

// TestReceiversOfTheDocumentation: the programs of docs/sinks.md run, accept what Keyward sends, and refuse what it does not.
func TestReceiversOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../../docs/sinks.md")
	if err != nil {
		t.Fatal(err)
	}
	for language, build := range map[string]func(t *testing.T, source string) *exec.Cmd{
		"go": func(t *testing.T, source string) *exec.Cmd {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(dir, "receiver")
			command := exec.CommandContext(t.Context(), "go", "build", "-o", program, filepath.Join(dir, "main.go"))
			if output, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			return exec.CommandContext(t.Context(), program)
		},
		"js": func(t *testing.T, source string) *exec.Cmd {
			if _, err := exec.LookPath("node"); err != nil {
				t.Skip("node is not installed")
			}
			file := filepath.Join(t.TempDir(), "receiver.js")
			if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
				t.Fatal(err)
			}
			return exec.CommandContext(t.Context(), "node", file)
		},
	} {
		t.Run(language, func(t *testing.T) {
			block := regexp.MustCompile("(?s)\n```" + language + "\n(.*?)```\n").FindSubmatch(page)
			if block == nil {
				t.Fatal("docs/sinks.md has no such program")
			}
			program := build(t, string(block[1]))
			program.Env = append(os.Environ(), "LISTEN=127.0.0.1:0", "SECRET="+exampleSecret)
			program.Stderr = os.Stderr
			output, err := program.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = program.Process.Kill(); _ = program.Wait() }()
			lines := bufio.NewScanner(output)
			if !lines.Scan() {
				t.Fatal("the receiver does not say where it listens")
			}
			address := lines.Text()
			send := func(secrets string, clk clock.PassiveClock) error {
				t.Helper()
				to, err := sender.New(&config.Sink{
					Type: config.Webhook, URL: &url.URL{Scheme: "http", Host: address}, SecretFile: write(t, "secrets", secrets),
					Timeout: 10 * time.Second, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Concurrency: 1,
				}, clk, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer to.Close()
				_, err = to.Send(t.Context(), []sinks.Record{example})
				return err
			}
			other := "whsec_" + strings.Repeat("QUJD", 11)
			for name, secrets := range map[string]string{"one": exampleSecret, "the second": other + "\n" + exampleSecret} {
				if err := send(secrets, clock.RealClock{}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if !lines.Scan() || lines.Text() != exampleID+" "+exampleBody {
					t.Errorf("%s: it reads %q", name, lines.Text())
				}
			}
			if send(other, clock.RealClock{}) == nil {
				t.Error("another secret is accepted")
			}
			for _, wrong := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
				if send(exampleSecret, clocktesting.NewFakePassiveClock(time.Now().Add(wrong))) == nil {
					t.Errorf("an instant that is wrong by %s is accepted", wrong)
				}
			}
		})
	}
}
