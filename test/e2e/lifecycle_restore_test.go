package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/hack/run/mounts"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// TestEtcdCopiedWhileRunning returns to a copy of the storage that was made during a rotation: keys that have not changed
// since then continue without a refusal, and others are as they were then.
func TestEtcdCopiedWhileRunning(t *testing.T) {
	w := newWorld(t)
	m := w.lead(managerSetup{})
	validators := w.startValidators("one", "two")
	w.createGroup()
	steady, revoked := w.mint("steady"), w.mint("revoked")
	rotated := w.mint("rotated", overlapping("0s"))
	w.mint("midway", overlapping("1h"))
	loop := w.startLoadLoop(steady, validators)

	w.trigger("midway", "at the copy")
	copied := w.copyStorage()

	w.revoke("revoked")
	w.trigger("rotated", "after the copy")
	w.awaitKey("rotated", "rotated", func(key *v1alpha1.ApiKey) bool {
		return len(key.Status.Versions) == 2 && live(key) == 1 && isReady(key)
	})
	since, late := w.plaintext("rotated"), w.mint("late")
	for _, v := range validators {
		v.awaits(revoked, "key_revoked")
		v.awaits(rotated, "key_retired")
	}
	m.kill()

	r := w.startCopy(copied)
	r.lead(managerSetup{})
	for _, v := range validators {
		v.awaits(since, "key_unknown")
		v.awaits(late, "key_unknown")
		v.awaits(rotated, "allowed")
		v.awaits(revoked, "allowed") // a restore goes back behind a revocation, too
	}
	if r.plaintext("rotated") != rotated || r.plaintext("steady") != steady {
		t.Error("a Secret is not as it was when it was copied")
	}
	r.awaitKey("midway", "through with its rotation", func(key *v1alpha1.ApiKey) bool {
		current := lifecycle.Current(key.Status.Versions)
		return isReady(key) && isEnforced(2)(key) && current.State == v1alpha1.VersionActive && current.Trigger == "at the copy"
	})
	midway := r.plaintext("midway")
	r.trigger("rotated", "after the restore")
	r.awaitKey("rotated", "rotated again", func(key *v1alpha1.ApiKey) bool { return live(key) == 1 && isReady(key) && isEnforced(2)(key) })
	again := r.plaintext("rotated")
	for _, v := range validators {
		v.requires(t, midway, "allowed")
		v.requires(t, again, "allowed")
		v.requires(t, rotated, "key_retired")
	}
	if asked, refused := loop.stop(); asked == 0 || len(refused) > 0 {
		t.Errorf("of %d requests with a key that nobody touched, these were not allowed: %v", asked, refused)
	}
}

// TestRestoredWithoutStatus creates ApiKeys and Secrets again as backups of manifests do.
func TestRestoredWithoutStatus(t *testing.T) {
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick})
	v := w.startValidators("one")[0]
	w.createGroup()
	w.mint("web", overlapping("0s"))
	w.trigger("web", "once")
	w.awaitKey("web", "rotated", func(key *v1alpha1.ApiKey) bool {
		return len(key.Status.Versions) == 2 && live(key) == 1 && isReady(key)
	})
	text, bare := w.plaintext("web"), w.mint("bare")
	web, secret := w.lose("web")
	alone, _ := w.lose("bare")
	v.awaits(text, "key_unknown")

	w.create(secret)
	w.create(web)
	w.create(alone)
	// A deletion is a revocation, unless the operator of the platform allows restores.
	w.awaitKey("web", "refused", func(key *v1alpha1.ApiKey) bool {
		ready := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == v1alpha1.ReasonTextRevoked && len(key.Status.Versions) == 0
	})
	v.requires(t, text, "key_unknown")
	w.allowRestores()
	restored := w.awaitKey("web", "ready", isReady)
	if w.plaintext("web") != text {
		t.Error("another key was minted")
	}
	v.awaits(text, "allowed")
	if versions := restored.Status.Versions; len(versions) != 1 || versions[0].ID != 2 || versions[0].Cause != v1alpha1.CauseRestored {
		t.Errorf("its versions are %+v", versions)
	}
	w.awaitEvent("web", "version 2", "is taken over from Secret web")
	w.awaitEvent("web", "of an ApiKey that was deleted", "its namespace allows that until")
	eventually(t, "the Secret to be owned again", patience, func() error {
		if len(w.secretsOf(restored)) != 1 {
			return errors.New("it is not")
		}
		return nil
	})

	w.awaitKey("bare", "ready", isReady)
	w.awaitEvent("bare", "without its Secret bare: a new key is minted")
	v.requires(t, bare, "key_unknown")
	v.requires(t, w.plaintext("bare"), "allowed")
}

// TestLostSecret deletes a Secret by hand. Its text is nowhere else: its holders use it until another is delivered.
func TestLostSecret(t *testing.T) {
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick})
	v := w.startValidators("one")[0]
	w.createGroup()
	lost := w.mint("web")
	if err := w.core.CoreV1().Secrets(w.namespace).Delete(w.ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	key := w.awaitKey("web", "replaced", func(key *v1alpha1.ApiKey) bool {
		return len(key.Status.Versions) == 2 && isReady(key) && isEnforced(1)(key)
	})
	if first, second := key.Status.Versions[0], key.Status.Versions[1]; first.State != v1alpha1.VersionRevoked ||
		second.Cause != v1alpha1.CauseReplaced {
		t.Errorf("its versions are %+v", key.Status.Versions)
	}
	v.requires(t, w.plaintext("web"), "allowed")
	v.requires(t, lost, "key_revoked")
	w.awaitEvent("web", "Secret web no longer holds version 1", "a new version replaces it")
}

// allowRestores allows the namespace to restore what was deleted.
func (w *world) allowRestores() {
	w.t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRestoringUntil,
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if _, err := w.core.CoreV1().Namespaces().Patch(w.ctx, w.namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func overlapping(overlap v1alpha1.Duration) func(*v1alpha1.ApiKey) {
	return func(key *v1alpha1.ApiKey) { key.Spec.Rotation.Overlap = overlap }
}

// lose deletes an ApiKey with its Secret, and returns them as a backup of manifests has them.
func (w *world) lose(name string) (*v1alpha1.ApiKey, *corev1.Secret) {
	w.t.Helper()
	at := client.ObjectKey{Namespace: w.namespace, Name: name}
	key, secret := &v1alpha1.ApiKey{}, &corev1.Secret{}
	for _, object := range []client.Object{key, secret} {
		if err := w.admin.Get(w.ctx, at, object); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.admin.Delete(w.ctx, key.DeepCopy()); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, name+" and its Secret to be gone", patience, func() error {
		for _, object := range []client.Object{&v1alpha1.ApiKey{}, &corev1.Secret{}} {
			if err := w.admin.Get(w.ctx, at, object); !apierrors.IsNotFound(err) {
				return errors.Join(fmt.Errorf("%T is there", object), err)
			}
		}
		return nil
	})
	key.ObjectMeta = metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: key.Labels, Annotations: key.Annotations}
	key.Status = v1alpha1.ApiKeyStatus{}
	secret.ObjectMeta = metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: secret.Labels, Annotations: secret.Annotations}
	return key, secret
}

// awaitEvent waits for an event about the ApiKey that contains all texts.
func (w *world) awaitEvent(name string, says ...string) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("an event about %s with %q", name, says), patience, func() error {
		list, err := w.core.EventsV1().Events(w.namespace).List(w.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		var all []string
		for _, event := range list.Items {
			if event.Regarding.Name != name {
				continue
			}
			all = append(all, event.Note)
			missing := 0
			for _, text := range says {
				if !strings.Contains(event.Note, text) {
					missing++
				}
			}
			if missing == 0 {
				return nil
			}
		}
		return fmt.Errorf("there are %q", all)
	})
}

// copyStorage copies all data of the control plane at one instant, as a snapshot of a volume does. etcd does not take part
// in it; it is stopped meanwhile only because files are copied one after the other.
func (w *world) copyStorage() (dir string) {
	w.t.Helper()
	dir = w.t.TempDir()
	etcd := w.etcdProcess()
	if err := etcd.Signal(syscall.SIGSTOP); err != nil {
		w.t.Fatal(err)
	}
	err := os.CopyFS(filepath.Join(dir, "cluster"), os.DirFS(w.path("cluster")))
	if err := errors.Join(err, etcd.Signal(syscall.SIGCONT)); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// etcdProcess finds the process that has this cluster's data.
func (w *world) etcdProcess() *os.Process {
	w.t.Helper()
	const proc = "/proc"
	if _, err := os.Stat(filepath.Join(proc, "self", "cmdline")); err != nil {
		w.t.Skip("processes are found in /proc, which this system does not have")
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		arguments, err := os.ReadFile(filepath.Join(proc, entry.Name(), "cmdline"))
		if err != nil || !bytes.Contains(arguments, []byte("--data-dir="+w.path("cluster", "etcd")+"\x00")) {
			continue // it has ended, or is another
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			w.t.Fatal(err)
		}
		return process
	}
	w.t.Fatal("there is no etcd with this cluster's data")
	return nil
}

// startCopy starts a control plane on copied data. Its managers listen where those of the first one did, so that
// validation servers find them.
func (w *world) startCopy(dir string) *world {
	w.t.Helper()
	copied := &cluster{
		dir: dir, ctx: w.ctx, cancel: func() {}, syncAddress: w.syncAddress, webhooks: w.webhooks,
		certs: w.certs, ca: w.ca, issued: w.issued, validatorToken: w.validatorToken, minted: w.minted,
	}
	// Its logs are searched with the others.
	logs := w.path("logs", "copy-"+w.namespace)
	for _, err := range []error{
		os.Mkdir(logs, 0o700),
		os.RemoveAll(copied.path("cluster", "logs")),
		os.Symlink(logs, copied.path("cluster", "logs")),
		os.Symlink(w.path("logs"), copied.path("logs")),
	} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Cleanup(copied.now)
	if err := copied.startControlPlane(); err != nil {
		w.t.Fatal(err)
	}
	token := mounts.Token{Namespace: systemNamespace, ServiceAccount: "keyward-manager", Dir: copied.path("manager", "serviceaccount")}
	if err := token.Project(w.ctx, copied.core, complain); err != nil {
		w.t.Fatal(err)
	}
	copied.managerConfig = copied.path("manager", "kubeconfig")
	if err := mounts.WriteKubeconfig(copied.managerConfig, copied.config, token.Path()); err != nil {
		w.t.Fatal(err)
	}
	if err := copied.minted.follow(w.ctx, copied.core); err != nil {
		w.t.Fatal(err)
	}
	restored := *w
	restored.cluster = copied
	return &restored
}
