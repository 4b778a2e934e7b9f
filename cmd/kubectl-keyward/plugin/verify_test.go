package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

func TestVerify(t *testing.T) {
	namespace(t, "verify")
	const legacy = "legacy-token-0123456789"
	population := map[byte]func(*v1alpha1.ApiKey){
		21: func(*v1alpha1.ApiKey) {},
		22: func(k *v1alpha1.ApiKey) {
			k.Status.Versions[0].State, k.Status.Versions[0].RetiresAt = v1alpha1.VersionRetiring, at(day)
		},
		23: func(k *v1alpha1.ApiKey) {
			k.Status.Versions[0].State, k.Status.Versions[0].RetiresAt = v1alpha1.VersionRetired, at(-day)
		},
		24: func(k *v1alpha1.ApiKey) { k.Status.Versions[0].ExpiresAt = at(0) },
		25: func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) },
		26: func(k *v1alpha1.ApiKey) { k.Status.State = v1alpha1.KeySuspended },
		27: func(k *v1alpha1.ApiKey) { k.Status.State = v1alpha1.KeyBlocked },
		28: func(k *v1alpha1.ApiKey) {
			sum := sha256.Sum256([]byte(legacy))
			k.Status.Versions[0].Digest, k.Status.Versions[0].Cause = "sha256:"+hex.EncodeToString(sum[:]), v1alpha1.CauseImported
		},
	}
	for seed, change := range population {
		object(t, "verify", "key-"+string('a'+rune(seed-21)), func(k *v1alpha1.ApiKey) {
			k.Status.Versions[0].Digest = mint(t, seed).Digest().String()
			change(k)
		})
	}
	whole := func(seed byte) string { return mint(t, seed).Reveal() }
	for name, test := range map[string]struct {
		key  string
		args []string
		code int
		want string
	}{
		"accepted":          {whole(21), nil, 0, "Valid: it is accepted"},
		"with a line end":   {whole(21) + "\r\n", nil, 0, "verify/key-a, Active"},
		"in its overlap":    {whole(22), nil, 0, "until its overlap is over"},
		"retired":           {whole(23), nil, ExitRefused, "its overlap is over"},
		"expired just now":  {whole(24), nil, ExitRefused, "it has expired"},
		"revoked":           {whole(25), nil, ExitRefused, "it is revoked"},
		"suspended":         {whole(26), nil, ExitRefused, "it is suspended"},
		"blocked":           {whole(27), nil, ExitRefused, "blocked"},
		"imported":          {legacy, nil, 0, "verify/key-h"},
		"unknown":           {whole(99), nil, ExitRefused, "-A looks into all"},
		"unknown anywhere":  {whole(99), []string{"-A"}, ExitRefused, "any namespace"},
		"elsewhere":         {whole(21), []string{"-n", "default"}, ExitRefused, `namespace "default"`},
		"elsewhere, -A":     {whole(21), []string{"-n", "default", "-A"}, 0, "verify/key-a"},
		"mistyped":          {whole(21)[:52] + "00", nil, ExitRefused, "Not valid"},
		"a word":            {"hello", nil, ExitRefused, "not of the form"},
		"offline":           {whole(99), []string{"--offline", "--server", "https://127.0.0.1:1"}, 0, "Complete: it is a complete key"},
		"offline, mistyped": {whole(99) + "x", []string{"--offline"}, ExitRefused, "Not a complete key"},
		"offline, legacy":   {legacy, []string{"--offline"}, ExitRefused, "only a key that was imported"},
		"nothing":           {"\n", nil, ExitUsage, "kubectl keyward verify <key.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, output := range []string{"", "json", "yaml"} {
				args := append([]string{"verify", "-n", "verify"}, test.args...)
				if output != "" {
					args = append(args, "-o", output)
				}
				r := keyward(t, test.key, args...)
				if output == "" {
					r.expect(t, test.code, test.want)
				}
				r.expect(t, test.code)
				if key := strings.TrimSpace(test.key); key != "" && key != "hello" {
					r.lacks(t, key)
				}
			}
		})
	}
	keyward(t, whole(22), "verify", "-n", "verify").golden(t, "verify")
	keyward(t, whole(22), "verify", "-n", "verify", "-o", "json").golden(t, "verify-json")
}

// TestVerifyDoesNotPrintTheKey: no long part of any text is in the output.
func TestVerifyDoesNotPrintTheKey(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[a-z][a-z0-9]{1,15}_[0-9A-Za-z]{49}`),
			rapid.StringMatching(`[!-~]{20,80}`),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 32, 32), func(secret []byte) string {
				key, err := keyformat.Mint("vctrl", strings.NewReader(string(secret)))
				if err != nil {
					t.Fatal(err)
				}
				return key.Reveal()
			}),
		).Draw(r, "text")
		output := rapid.SampledFrom([]string{"", "json", "yaml"}).Draw(r, "output")
		got := keyward(t, text, "verify", "--offline", "-o", output)
		all := got.out + got.err
		for i := 0; i+12 <= len(text); i++ {
			if strings.Contains(all, text[i:i+12]) {
				r.Fatalf("%q of %q in %q", text[i:i+12], text, all)
			}
		}
	})
}

func TestAccepted(t *testing.T) {
	key := &v1alpha1.ApiKey{}
	key.Status.State = v1alpha1.KeyActive
	key.DeletionTimestamp = &metav1.Time{Time: now}
	if _, valid := accepted(key, &v1alpha1.KeyVersion{State: v1alpha1.VersionActive}, now); valid {
		t.Error("a key that is being deleted is accepted")
	}
	key.DeletionTimestamp = nil
	for after, want := range map[time.Duration]bool{0: false, time.Second: true} { // before the state says so
		if _, valid := accepted(key, &v1alpha1.KeyVersion{State: v1alpha1.VersionRetiring, RetiresAt: at(after)}, now); valid != want {
			t.Errorf("%s before its overlap ends: %t", after, valid)
		}
	}
}
