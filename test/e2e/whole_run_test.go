package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/pkg/urltoken"
)

// TestPlaintextIsInSecretsOnly searches for every key that was minted since the cluster started. The go tool runs tests in
// the order of their files: this is the last one, and it searches the whole run.
func TestPlaintextIsInSecretsOnly(t *testing.T) {
	w := newWorld(t)
	m := w.lead(managerSetup{startupGrace: quick})
	window := w.subscribe("window", 0)
	v := w.startValidator(validatorSetup{instance: "validator"})
	v.awaitReady()
	w.createGroup()
	key := w.mint("web")
	v.requires(t, key, "allowed")
	v.requires(t, key+"x", "key_malformed")
	if err := window.bytes.Sync(); err != nil {
		t.Fatal(err)
	}
	w.keepMetrics(m.name, m.metrics)
	w.keepMetrics(v.name, v.listens.Admin.String())
	for _, kind := range []string{"apikeys", "groups", "domainallowlists", "events", "events.events.k8s.io"} {
		output, err := w.kubectl("get", kind, "--all-namespaces", "--output=yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.path("logs", kind+".yaml"), []byte(output), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := w.minted.all()
	search := searchFor(keys)
	search.findsAnyway(t, key)

	var read int
	for _, dir := range []string{w.path("logs"), w.path("snapshots"), w.path("cluster", "logs")} {
		n := search.dir(t, dir)
		t.Logf("%s: %d bytes", filepath.Base(dir), n)
		read += n
	}
	stored := w.etcd()
	inSecrets := map[string]bool{}
	for name, value := range stored {
		read += len(value)
		for _, found := range search.in(value) {
			if !strings.HasPrefix(name, "/registry/secrets/") {
				t.Errorf("etcd has the plaintext of %s in %s", found, name)
			}
			inSecrets[found] = true
		}
	}
	// The search has to find what is stored in Secrets, which shows that it works.
	secrets, err := w.core.CoreV1().Secrets(metav1.NamespaceAll).List(w.ctx,
		metav1.ListOptions{LabelSelector: v1alpha1.LabelManagedBy + "=" + v1alpha1.ManagedBy})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets.Items {
		if name := secret.Namespace + "/" + secret.Name; !inSecrets[name] && len(secret.Data[v1alpha1.SecretKeyAPIKey]) > 0 {
			t.Errorf("the key in Secret %s was not found in etcd", name)
		}
	}
	t.Logf("searched %d bytes for %d keys, of which %d are in Secrets", read, len(keys), len(secrets.Items))
}

// search knows the Secret of each key, so that it can name what it finds.
type search map[[window]byte]string

// window is how many characters in a row identify a key. It is short enough to find a part of a key.
const window = 16

// searchFor searches for keys as they are, in base64 at any offset, and in hexadecimal, and for the secrets with which they sign URLs,
// which are bytes in snapshots and nothing else anywhere.
func searchFor(keys map[string]string) search {
	s := search{}
	for key, secret := range keys {
		body := longestRun(key)
		texts := []string{hex.EncodeToString([]byte(body))}
		for at := 0; at+window <= len(body); at += window {
			texts = append(texts, body[at:])
		}
		for offset := range 3 {
			texts = append(texts, base64.StdEncoding.EncodeToString([]byte(body[offset:])))
		}
		if signs, err := urltoken.Derive(key); err == nil {
			texts = append(texts, hex.EncodeToString(signs))
			for offset := range 3 {
				texts = append(texts, base64.StdEncoding.EncodeToString(signs[offset:]))
			}
		}
		for _, text := range texts {
			s[[window]byte([]byte(text[:window]))] = secret
		}
	}
	return s
}

// longestRun returns the part of a key that can be found: of a minted key, everything after its prefix.
func longestRun(key string) (longest string) {
	for _, run := range strings.FieldsFunc(key, func(c rune) bool { return !written(byte(c)) }) {
		if len(run) > len(longest) {
			longest = run
		}
	}
	return longest
}

// written reports whether the character occurs in keys, as they are or in base64.
func written(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

// in returns the Secrets whose keys are in the data.
func (s search) in(data []byte) []string {
	found := map[string]bool{}
	run := 0
	for i, c := range data {
		if !written(c) {
			run = 0
			continue
		}
		if run++; run >= window {
			if name, ok := s[[window]byte(data[i+1-window:i+1])]; ok {
				found[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// dir searches all files below a directory and returns how much it has read.
func (s search) dir(t *testing.T, dir string) (read int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read += len(data)
		for _, found := range s.in(data) {
			t.Errorf("%s has the plaintext of %s", path, found)
		}
		return nil
	})
	if err != nil || read == 0 {
		t.Errorf("%s: %d bytes, %v", dir, read, err)
	}
	return read
}

// findsAnyway shows that the search finds a key in the middle of a log, in each encoding.
func (s search) findsAnyway(t *testing.T, key string) {
	t.Helper()
	signs, err := urltoken.Derive(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`{"level":"debug","key":"` + key + `"}`,
		`Authorization: Bearer ` + key[:len(key)/2] + `…`,
		`data: ` + base64.StdEncoding.EncodeToString([]byte(key)),
		`data: ` + base64.StdEncoding.EncodeToString([]byte("KEY="+key+"\n")),
		`0x` + hex.EncodeToString([]byte(key)),
		`url_secret:"` + hex.EncodeToString(signs) + `"`,
		`"urlSecret":"` + base64.StdEncoding.EncodeToString(signs) + `"`,
	} {
		if len(s.in([]byte("one line\n"+line+"\nanother"))) != 1 {
			t.Errorf("the search does not find a key that is written like %s", strings.ReplaceAll(line, key, "<key>"))
		}
	}
}
