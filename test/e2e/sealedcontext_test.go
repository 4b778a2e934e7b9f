package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/pkg/sealedcontext"
)

// TestSealedContext: a credential of a Group reaches the content server behind the reverse proxy, which opens it; its changes and those
// of the keys follow, a restart changes nothing, and it is stored in its Secret alone.
func TestSealedContext(t *testing.T) {
	w, keys := newWorld(t), t.TempDir()
	addSealingKey(t, keys, "2026")
	lead := func() *manager { return w.lead(managerSetup{flags: []string{"--sealed-context-keys=" + keys}}) }
	m := lead()
	content := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		ring, err := sealedcontext.ReadRing(keys)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusInternalServerError)
			return
		}
		value, err := ring.OpenHeader(request.Header, "paymentKey")
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(writer, fingerprint(string(value)))
	}))
	t.Cleanup(content.Close)
	v := w.startValidator(validatorSetup{instance: "sealed", upstream: content.URL})
	v.awaitReady()

	first, second := "sk_live_"+rand.Text()+rand.Text(), "sk_live_"+rand.Text()+rand.Text()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "payments"}, Data: map[string][]byte{"key": []byte(first)}}
	w.create(secret)
	w.createGroup()
	w.edit(func(group *v1alpha1.Group) {
		group.Spec.SealedContext = []v1alpha1.SealedContext{{
			Name: "paymentKey", SecretKeyRef: v1alpha1.SecretKeyReference{Name: "payments", Key: "key"},
		}}
	})
	key := w.mint("shop")
	v.awaitsContent(key, fingerprint(first))
	sealed := w.sealed()

	m.kill()
	m = lead()
	w.edit(func(group *v1alpha1.Group) { group.Spec.DisplayName = "Acme" })
	eventually(t, "the new leader to look at the Group", patience, func() error {
		group := w.acme()
		if group.Status.ObservedGeneration != group.Generation {
			return errors.New("it has not")
		}
		return nil
	})
	if again := w.sealed(); again != sealed {
		t.Errorf("sealed again, without a change: %s, and then %s", sealed, again)
	}
	v.awaitsContent(key, fingerprint(first))

	secret.Data["key"] = []byte(second)
	if err := w.admin.Update(w.ctx, secret); err != nil {
		t.Fatal(err)
	}
	w.edit(func(group *v1alpha1.Group) { group.Spec.DisplayName = "Acme Inc" }) // or else the Secret is read within a minute
	v.awaitsContent(key, fingerprint(second))

	addSealingKey(t, keys, "2027")
	if err := os.WriteFile(filepath.Join(keys, "primary"), []byte("2027\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.edit(func(group *v1alpha1.Group) { group.Spec.DisplayName = "Acme Ltd" })
	eventually(t, "the new key to seal", patience, func() error {
		if got := w.sealed(); !strings.HasPrefix(got, "v1.2027.") {
			return fmt.Errorf("sealed as %s", got)
		}
		return nil
	})
	v.awaitsContent(key, fingerprint(second))
	m.stop(patience)
	v.stop(patience)
	w.requireOnlyIn("/registry/secrets/"+w.namespace+"/payments", first, second)
}

func fingerprint(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

func addSealingKey(t *testing.T, directory, id string) {
	t.Helper()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	if err := os.WriteFile(filepath.Join(directory, id), []byte(base64.StdEncoding.EncodeToString(secret)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) acme() *v1alpha1.Group {
	w.t.Helper()
	group := &v1alpha1.Group{}
	if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "acme"}, group); err != nil {
		w.t.Fatal(err)
	}
	return group
}

// edit changes the Group acme.
func (w *world) edit(change func(*v1alpha1.Group)) {
	w.t.Helper()
	eventually(w.t, "the edit to be admitted", patience, func() error {
		group := w.acme()
		before := client.MergeFrom(group.DeepCopy())
		change(group)
		return w.admin.Patch(w.ctx, group, before)
	})
}

// sealed is what the status of the Group acme has of its one sealed value.
func (w *world) sealed() string {
	w.t.Helper()
	values := w.acme().Status.SealedContext
	if len(values) != 1 {
		return ""
	}
	return values[0].Sealed
}

// awaitsContent waits until the content server behind the reverse proxy answers that.
func (v *validator) awaitsContent(key, want string) {
	t := v.world.t
	t.Helper()
	eventually(t, "the content server to open the value", patience, func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+v.listens.Proxy.String()+"/mkt/scene", http.NoBody)
		if err != nil {
			return err
		}
		request.Header.Set("X-Api-Key", key)
		response, err := v.requests.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != want {
			return fmt.Errorf("%s: %s, %w", response.Status, body, err)
		}
		return nil
	})
}

// requireOnlyIn searches for texts in everything that is stored, in snapshots, and in logs: the last one is at that place in etcd, which
// shows that the search works, and none is anywhere else.
func (w *world) requireOnlyIn(place string, texts ...string) {
	w.t.Helper()
	named := map[string]string{}
	for i, text := range texts {
		named[text] = fmt.Sprint("text ", i)
	}
	search, read := searchFor(named), 0
	look := func(where string, data []byte) {
		read += len(data)
		found := search.in(data)
		if where == place && slices.Equal(found, []string{fmt.Sprint("text ", len(texts)-1)}) {
			found = nil
		} else if where == place {
			w.t.Errorf("%s has %v", where, found)
		}
		if len(found) > 0 && where != place {
			w.t.Errorf("%s has the plaintext of %v", where, found)
		}
	}
	stored := w.etcd()
	if stored[place] == nil {
		w.t.Errorf("etcd has no %s", place)
	}
	for where, value := range stored {
		look(where, value)
	}
	for _, directory := range []string{w.path("logs"), w.path("snapshots")} {
		err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // of a test that has ended
			}
			look(path, bytes.TrimSpace(data))
			return err
		})
		if err != nil {
			w.t.Error(err)
		}
	}
	w.t.Logf("searched %d bytes", read)
}
