package scanners

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/keyward-dev/keyward/cmd/kubectl-keyward/plugin"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// rules are what the plugin prints.
func rules(t *testing.T, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &problems}
	if code := plugin.Run(t.Context(), append([]string{"leaks", "patterns"}, args...), streams, "test"); code != 0 {
		t.Fatalf("exit code %d: %s", code, problems.String())
	}
	return out.String()
}

func detector(t *testing.T, toml string) *detect.Detector {
	t.Helper()
	viper.Reset()
	viper.SetConfigType("toml")
	if err := viper.ReadConfig(strings.NewReader(toml)); err != nil {
		t.Fatal(err)
	}
	var read config.ViperConfig
	if err := viper.Unmarshal(&read); err != nil {
		t.Fatal(err)
	}
	translated, err := read.Translate()
	if err != nil {
		t.Fatal(err)
	}
	return detect.NewDetector(translated)
}

// TestGitleaksFindsKeys: it finds every minted key in the places where keys leak, and neither previews nor other texts.
func TestGitleaksFindsKeys(t *testing.T) {
	scanner := detector(t, rules(t, "--for", "gitleaks", "--prefix", "acme", "--prefix", "kw"))
	for _, prefix := range []string{"acme", "kw"} {
		for range 100 {
			key, err := keyformat.Mint(prefix, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			text := key.Reveal()
			for _, place := range []string{"KEY=" + text, `{"key": "` + text + `"}`, "https://cdn.example/a?token=" + text + "&b", "Bearer " + text + "\n", text} {
				found := false
				for _, finding := range scanner.DetectString(place) {
					found = found || finding.RuleID == "keyward-"+prefix && finding.Secret == text
				}
				if !found {
					t.Fatalf("not found in %q: %+v", strings.Replace(place, text, key.Preview(), 1), scanner.DetectString(place))
				}
			}
			for _, other := range []string{key.Preview(), text[:len(text)-1], text + "x", "other" + text} {
				for _, finding := range scanner.DetectString(other) {
					if strings.HasPrefix(finding.RuleID, "keyward-") {
						t.Fatalf("%q is found by %s", other, finding.RuleID)
					}
				}
			}
		}
	}
}

// TestGitLabRulesAreThoseOfGitleaks: GitLab passes its rules to gitleaks as they are.
func TestGitLabRulesAreThoseOfGitleaks(t *testing.T) {
	viper.Reset()
	viper.SetConfigType("toml")
	if err := viper.ReadConfig(strings.NewReader(rules(t, "--for", "gitlab", "--prefix", "acme"))); err != nil {
		t.Fatal(err)
	}
	var ruleset struct {
		Secrets struct {
			Passthrough []struct{ Type, Target, Value string }
		}
	}
	if err := viper.Unmarshal(&ruleset); err != nil {
		t.Fatal(err)
	}
	passed := ruleset.Secrets.Passthrough
	if len(passed) != 1 || passed[0].Target != "gitleaks.toml" {
		t.Fatalf("%+v", ruleset)
	}
	_, inner, _ := strings.Cut(passed[0].Value, "[[rules]]") // the base is a file of GitLab's image
	key, err := keyformat.Mint("acme", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	findings := detector(t, "[[rules]]"+inner).DetectString("KEY=" + key.Reveal())
	if len(findings) != 1 || !slices.Contains([]string{"keyward-acme"}, findings[0].RuleID) {
		t.Errorf("%+v", findings)
	}
}
