package plugin

import (
	"crypto/rand"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

func TestLeakPatterns(t *testing.T) {
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: live, Name: "leaking"}}
	group.Spec.KeyPolicy.Prefix = "leaky1"
	if err := admin.Create(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	inLive(t, "", "leaks", "patterns", "--for", "gitleaks").expect(t, 0, `id = "keyward-leaky1"`, `id = "keyward-kw"`, `keywords = ["leaky1_"]`)
	inLive(t, "", "leaks", "patterns", "--for", "grep").expect(t, ExitUsage, "--for: write one of github, gitlab, gitleaks, trufflehog")
	inLive(t, "", "leaks", "patterns", "--for", "github", "--prefix", "A_b").expect(t, ExitUsage, "--prefix: write 2 to 16")

	key, err := keyformat.Mint("leaky1", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var custom struct {
		Detectors []struct {
			Name     string            `json:"name"`
			Keywords []string          `json:"keywords"`
			Regex    map[string]string `json:"regex"`
		} `json:"detectors"`
	}
	r := inLive(t, "", "leaks", "patterns", "--for", "trufflehog", "--prefix", "leaky1").expect(t, 0)
	if err := yaml.UnmarshalStrict([]byte(r.out), &custom); err != nil || len(custom.Detectors) != 1 {
		t.Fatalf("%v %s", err, r.out)
	}
	found := regexp.MustCompile(custom.Detectors[0].Regex["key"]).FindStringSubmatch("x=" + key.Reveal() + ";")
	if len(found) != 2 || found[1] != key.Reveal() || !strings.Contains(key.Reveal(), custom.Detectors[0].Keywords[0]) {
		t.Errorf("%+v does not find a key", custom)
	}
	r = inLive(t, "", "leaks", "patterns", "--for", "github", "--prefix", "leaky1").expect(t, 0, `Before secret:  \A|[^0-9A-Za-z_]`)
	_, format, _ := strings.Cut(r.out, "Secret format:")
	format, _, _ = strings.Cut(format, "\n")
	if !regexp.MustCompile("^" + strings.TrimSpace(format) + "$").MatchString(key.Reveal()) {
		t.Errorf("%q does not find a key", format)
	}
}
