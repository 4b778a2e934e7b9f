package plugin

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// everyCommand returns all commands, by their paths.
func everyCommand(t *testing.T) map[string]*cobra.Command {
	t.Helper()
	a := &app{now: time.Now, flags: genericclioptions.NewConfigFlags(true)}
	all := map[string]*cobra.Command{}
	var walk func(cmd *cobra.Command, path string)
	walk = func(cmd *cobra.Command, path string) {
		all[path] = cmd
		for _, sub := range cmd.Commands() {
			walk(sub, strings.TrimSpace(path+" "+sub.Name()))
		}
	}
	walk(a.root("test"), "")
	return all
}

// TestNoCommandEchoesAKey passes keys as arguments and as flags to all commands.
func TestNoCommandEchoesAKey(t *testing.T) {
	whole := mint(t, 31).Reveal()
	keys := map[string]string{
		"whole": whole, "cut": whole[:30], "mistyped": whole[:52] + "00",
		"imported": "Legacy/token+0123456789abcdef", "like a name": "0f1e2d3c4b5a69788796a5b4",
	}
	commands := everyCommand(t)
	for _, path := range []string{"", "verify", "status", "explain", "help", "completion", "completion bash"} {
		if commands[path] == nil {
			t.Fatalf("no command %q", path)
		}
	}
	for path, cmd := range commands {
		helps := path == "help" || path == "completion" // which print only their own text, for any argument
		for name, key := range keys {
			for way, more := range map[string][]string{
				"argument": {key}, "two": {key, key}, "flag": {"--" + key}, "short flags": {"-q" +
					key}, "value": {"--output=" + key}, "number": {"--limit=" + key},
				"overlap": {"--overlap=" + key}, "wait": {"--wait=" + key}, "timeout": {"--timeout", key}, "syntax": {"--=" + key},
			} {
				r := keyward(t, "", append(strings.Fields(path), more...)...).lacks(t, key)
				if way == "argument" && name == "whole" && !helps {
					r.expect(t, ExitUsage, "give it to kubectl keyward verify on standard input")
				}
				if r.code == 0 && !helps {
					t.Errorf("%s with a key as %s (%s) succeeds", cmd.CommandPath(), way, name)
				}
			}
		}
	}
}

// TestThePageNamesEveryFlag compares the page with the flags.
func TestThePageNamesEveryFlag(t *testing.T) {
	page, err := os.ReadFile("../../../docs/kubectl-keyward.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, cmd := range everyCommand(t) {
		if strings.HasPrefix(path, "completion") || path == "help" {
			continue
		}
		check := func(f *pflag.Flag) {
			if !regexp.MustCompile("--" + f.Name + "[ `=]").Match(page) {
				t.Errorf("%q: the page does not name --%s", path, f.Name)
			}
		}
		cmd.LocalFlags().VisitAll(check)
		cmd.PersistentFlags().VisitAll(check)
	}
}

func TestAMissingKubeconfigIsNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nowhere")
	t.Setenv("KUBECONFIG", missing)
	for name, args := range map[string][]string{"environment": nil, "flag": {"--kubeconfig", missing}} {
		t.Run(name, func(t *testing.T) {
			keywardRaw(t, append([]string{"status"}, args...)...).expect(t, ExitError, missing, "KUBECONFIG").lacks(t, "--context")
		})
	}
	keywardRaw(t, "status", "--server", "https://127.0.0.1:1").expect(t, ExitError, "is it running")
	t.Setenv("KUBECONFIG", missing+":"+kubeconfig)
	keywardRaw(t, "status").expect(t, 0)
}

// TestAFullDisk: a key cannot be written, and the message does not blame the cluster.
func TestAFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = full.Close() })
	key := grown(t, once)
	for _, verb := range []string{"reveal", "status"} {
		var problems bytes.Buffer
		a := &app{streams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: full, ErrOut: &problems}, now: time.Now}
		code := run(t.Context(), a, []string{verb, key.Name, "-n", live, "--kubeconfig", kubeconfig}, "test")
		(result{code, "", problems.String()}).expect(t, ExitError, "no space left on device").lacks(t, "--context").lacks(t, text(t, key))
	}
}

// TestGroupWithItsNamespace: every verb about a Group takes NAMESPACE/NAME, as lists show it, and no two namespaces.
func TestGroupWithItsNamespace(t *testing.T) {
	const in = "qualified"
	namespace(t, in)
	audited(t, in, "acme", 5)
	for _, args := range [][]string{
		{"usage"}, {"usage", "--days", "3"}, {"audit", "--type", "key.rotated"}, {"audit", "verify"}, {"requests"}, {"billing", "export", "--period", "2026-11"},
	} {
		with := func(more ...string) result { return keyward(t, "", slices.Concat(args, more)...) }
		plain := with("acme", "-n", in)
		for _, given := range [][]string{{in + "/acme"}, {in + "/acme", "-n", in}} {
			if got := with(given...); got != plain {
				t.Errorf("%v %v: %+v, and with -n alone %+v", args, given, got, plain)
			}
		}
		if got := with(in+"/acme", "-n", "default").expect(t, ExitUsage, "are two namespaces"); got.out != "" {
			t.Errorf("%v: %s", args, got.out)
		}
		for _, wrong := range []string{"a/b/c", "/acme", in + "/", "A/acme"} {
			with(wrong).expect(t, ExitUsage, "write NAME or NAMESPACE/NAME")
		}
		with(in+"/nobody").expect(t, ExitError, `in namespace "`+in+`"`)
	}
	keyward(t, "", "audit", in+"/acme", "acme-apikey", "--type", "key.rotated").expect(t, 0, "acme-apikey")
	if offered := keywardRaw(t, "__complete", "--kubeconfig", kubeconfig, "usage", in+"/ac").out; !strings.HasPrefix(offered, in+"/acme") {
		t.Errorf("completion offers %q", offered)
	}
}
