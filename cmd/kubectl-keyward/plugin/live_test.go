package plugin

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// grown returns an ApiKey that the real controllers have delivered, with its own Group.
func grown(t *testing.T, change func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	t.Helper()
	g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: live, Name: t.Name()}}
	g.Name = strings.ToLower(t.Name())
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: live, Name: g.Name}}
	key.Spec.GroupRef.Name = g.Name
	key.Spec.Projects = []v1alpha1.ProjectName{v1alpha1.DefaultProject}
	change(key)
	for _, object := range []client.Object{g, key} {
		if err := admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the key is delivered", func() bool { return current(t, key).Status.SecretRef != nil })
	return key
}

func current(t *testing.T, key *v1alpha1.ApiKey) *v1alpha1.ApiKey {
	t.Helper()
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(key), key); err != nil {
		t.Fatal(err)
	}
	return key
}

// text returns the content of the key's Secret.
func text(t *testing.T, key *v1alpha1.ApiKey) string {
	t.Helper()
	secret := &corev1.Secret{}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(key), secret); err != nil {
		t.Fatal(err)
	}
	return string(secret.Data[v1alpha1.SecretKeyAPIKey])
}

func mounted(*v1alpha1.ApiKey) {}

func once(key *v1alpha1.ApiKey) { key.Spec.Secret.Reveal = v1alpha1.RevealOnce }

func inLive(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return keywardAt(t, time.Now, stdin, append(args, "-n", live)...)
}

func TestRotate(t *testing.T) {
	obey(t, server(t, "edge-1"))
	key := grown(t, mounted)
	first := text(t, key)
	inLive(t, "", "rotate", key.Name).expect(t, 0, "("+keyPreview(t, first)+") stays accepted for 24h after that",
		"is rotated: in force on 1 of 1 servers",
		"("+keyPreview(t, first)+") is Retiring").lacks(t, first)
	if second := text(t, key); second == first || current(t, key).Status.Versions[0].State != v1alpha1.VersionRetiring {
		t.Errorf("not rotated: %+v", key.Status)
	}

	inLive(t, "", "rotate", key.Name, "--overlap", "0s").expect(t, ExitUsage, "is refused as soon as the new one is there", "--yes")
	if current(t, key).Spec.Rotation.Overlap != "24h" || len(key.Status.Versions) != 2 {
		t.Errorf("changed without --yes: %+v", key)
	}
	r := inLive(t, "", "rotate", key.Name, "--overlap", "0s", "--yes", "-o", "json").expect(t, 0)
	done := read[outcome](t, r)
	if done.Action != "rotate" || len(done.Key.Versions) != 3 ||
		done.Key.Versions[0].State != v1alpha1.VersionRetired || done.Key.Versions[1].State != v1alpha1.VersionRetired {
		t.Errorf("%+v", done)
	}
	if got := current(t, key).Spec.Rotation; got.Overlap != "24h" || got.Trigger != "" {
		t.Errorf("what Git has is changed: %+v", got)
	}
	inLive(t, "", "rotate", key.Name, "--overlap", "1h", "--wait=false").expect(t, 0,
		"stays accepted for 1h after that", "declared")
}

func TestRotateWithoutAnybodyToAcknowledge(t *testing.T) {
	silence := obey(t, server(t, "slow"))
	key := grown(t, mounted)
	silence()
	inLive(t, "", "rotate", key.Name, "--timeout", "15s").expect(t, ExitTimeout, "slow", "will continue: kubectl keyward -n live status")
	inLive(t, "", "status", key.Name).expect(t, 0, "Pending", "waiting for slow")
}

func TestSuspendAndResumeAndRevoke(t *testing.T) {
	obey(t, server(t, "edge-1"))
	key := grown(t, mounted)
	inLive(t, "", "suspend", key.Name).expect(t, 0, "is Suspended: in force on 1 of 1 servers, after ")
	inLive(t, "", "suspend", key.Name).expect(t, 0, "is Suspended")
	inLive(t, "", "rotate", key.Name).expect(t, ExitRefused, "resume it first")
	resumed := read[outcome](t, inLive(t, "", "resume", key.Name, "-o", "json").expect(t, 0))
	if resumed.Key.State != v1alpha1.KeyActive || !resumed.Key.Enforcement.Complete || resumed.Key.Enforcement.Servers != 1 {
		t.Errorf("%+v", resumed)
	}

	inLive(t, key.Name+"\n", "revoke", key.Name).expect(t, ExitUsage, "standard input is not a terminal: add --yes")
	if current(t, key).Spec.Revoked != nil && *key.Spec.Revoked {
		t.Fatal("revoked though nobody was asked")
	}
	inLive(t, "", "revoke", key.Name, "--yes").expect(t, 0, "is Revoked: in force on 1 of 1 servers, after ")
	inLive(t, "", "revoke", key.Name, "--yes").expect(t, 0, "is Revoked")
	for _, verb := range []string{"rotate", "suspend", "resume", "reveal"} {
		inLive(t, "", verb, key.Name).expect(t, ExitRefused, "create a new ApiKey")
	}
}

// TestRotateOfWhatIsNotClaimed: nobody has said that they have it, so it ends at once.
func TestRotateOfWhatIsNotClaimed(t *testing.T) {
	obey(t, server(t, "edge-1"))
	key := grown(t, once)
	inLive(t, "", "rotate", key.Name).expect(t, 0, "is not claimed, and is refused as soon as the new one is there").lacks(t, "after it is claimed")
	if got := current(t, key).Status.Versions[0].State; got != v1alpha1.VersionRevoked {
		t.Errorf("the first is %s", got)
	}
}

// TestSuspendOfWhatSomebodyHasSuspended: first by kubectl, as people do, and then by the plugin, which must own the field from
// then on. Flux takes over what kubectl has set, and removes it where Git does not have it.
func TestSuspendOfWhatSomebodyHasSuspended(t *testing.T) {
	obey(t, server(t, "edge-1"))
	key := grown(t, mounted)
	reconcile := func() {
		t.Helper()
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			for i := range current(t, key).ManagedFields {
				if entry := &key.ManagedFields[i]; strings.HasPrefix(entry.Manager, "kubectl") {
					entry.Manager, entry.Operation = "kustomize-controller", metav1.ManagedFieldsOperationApply
				}
			}
			return admin.Update(t.Context(), key)
		})
		if err != nil {
			t.Fatal(err)
		}
		manifest := map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(), "kind": "ApiKey",
			"metadata": map[string]any{"namespace": key.Namespace, "name": key.Name},
			"spec":     map[string]any{"groupRef": map[string]any{"name": key.Name}, "projects": []any{"default"}},
		}
		apply := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: manifest})
		if err := admin.Apply(t.Context(), apply, client.FieldOwner("kustomize-controller"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
		current(t, key)
	}
	byHand := func(patch string) {
		t.Helper()
		if err := admin.Patch(t.Context(), key, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner("kubectl-patch")); err != nil {
			t.Fatal(err)
		}
	}
	byHand(`{"spec":{"suspended":true}}`)
	if reconcile(); ptr.Deref(key.Spec.Suspended, false) {
		t.Fatal("what kubectl has set stays: this test does not show what Flux does")
	}
	byHand(`{"spec":{"suspended":true}}`)
	inLive(t, "", "suspend", key.Name).expect(t, 0, "is Suspended")
	if reconcile(); !ptr.Deref(key.Spec.Suspended, false) {
		t.Error("the suspension is undone")
	}
	inLive(t, "", "resume", key.Name).expect(t, 0, "is Active")
	if reconcile(); ptr.Deref(key.Spec.Suspended, false) {
		t.Error("the key is not resumed")
	}
	inLive(t, "", "suspend", key.Name).expect(t, 0, "is Suspended")
	byHand(`{"spec":{"revoked":true}}`)
	inLive(t, "", "revoke", key.Name, "--yes").expect(t, 0, "is Revoked")
	if reconcile(); !ptr.Deref(key.Spec.Revoked, false) || !ptr.Deref(key.Spec.Suspended, false) {
		t.Errorf("what the plugin has declared is gone: %+v", key.Spec)
	}
}

// TestRevokeWithADisconnectedServer loses a server between the revocation and its acknowledgement.
func TestRevokeWithADisconnectedServer(t *testing.T) {
	leaving := server(t, "leaving")
	silence := obey(t, leaving)
	key := grown(t, mounted)
	silence()
	leaves := sync.OnceFunc(func() { leaving.Close(false) })
	heard(t, time.Now, "", func(said string) {
		if strings.Contains(said, "waiting for leaving") {
			leaves()
		}
	}, "revoke", key.Name, "--yes", "-n", live).expect(t, ExitIncomplete, "waiting for leaving",
		"disconnected, and deciding by the state that they had: leaving", "until they reconnect")
}

func TestReveal(t *testing.T) {
	key := grown(t, mounted)
	plain := text(t, key)
	r := inLive(t, "", "reveal", key.Name).expect(t, 0, "remains in Secret live/testreveal")
	if r.out != plain || strings.Contains(r.err, plain) {
		t.Errorf("out %q, standard error %q", r.out, r.err)
	}
	for _, output := range []string{"json", "yaml"} {
		inLive(t, "", "reveal", key.Name, "-o", output).expect(t, 0, "Mounted", keyPreview(t, plain)).lacks(t, plain)
	}
}

func TestRevealOnce(t *testing.T) {
	key := grown(t, once)
	plain := text(t, key)
	described := read[revelation](t, inLive(t, "", "reveal", key.Name, "-o", "json").expect(t, 0).lacks(t, plain))
	if described.ClaimUntil == nil || described.Preview != keyPreview(t, plain) || text(t, key) != plain {
		t.Errorf("%+v", described)
	}
	inLive(t, "", "status", key.Name).expect(t, 0, "Unclaimed", "kubectl keyward -n live reveal")
	r := inLive(t, "", "reveal", key.Name).expect(t, 0, "the only time", "gone from the cluster")
	if r.out != plain || strings.Contains(r.err, plain) {
		t.Errorf("out %q, standard error %q", r.out, r.err)
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(key), &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret: %v", err)
	}
	inLive(t, "", "reveal", key.Name).expect(t, ExitRefused, "rotate testrevealonce")
	inLive(t, plain, "verify").expect(t, 0, "Valid", live+"/"+key.Name).lacks(t, plain)

	inLive(t, "", "rotate", key.Name).expect(t, 0, keyPreview(t, plain)+") stays accepted for 24h after it is claimed", "is delivered")
	if r = inLive(t, "", "reveal", key.Name).expect(t, 0); r.out == plain || !keyformat.WellFormed(r.out) {
		t.Errorf("revealed %d characters", len(r.out))
	}
}

// TestRevealOfWhatIsNotOurs: a Secret of the name has other content.
func TestRevealOfWhatIsNotOurs(t *testing.T) {
	namespace(t, "foreign")
	object(t, "foreign", "web", func(*v1alpha1.ApiKey) {})
	keyward(t, "", "reveal", "web", "-n", "foreign").expect(t, ExitRefused, "not delivered yet")
	const foreign = "a-password-of-somebody-else"
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "foreign", Name: "web"},
		StringData: map[string]string{v1alpha1.SecretKeyAPIKey: foreign}}
	if err := admin.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	keyward(t, "", "reveal", "web", "-n", "foreign").expect(t, ExitRefused, "does not hold a version of this key").lacks(t, foreign)
}

func keyPreview(t *testing.T, text string) string {
	t.Helper()
	key, err := keyformat.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return key.Preview()
}

// terminalSession runs a command at a terminal, types an answer when the screen shows the prompt, and returns the screen and
// the exit code.
func terminalSession(t *testing.T, prompt, typed string, args ...string) (screen string, code int) {
	t.Helper()
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keyboard.Close() }()
	shown, written := make(chan string, 1), make(chan string, 100)
	go func() {
		all, buffer := "", make([]byte, 4096)
		for {
			n, err := keyboard.Read(buffer)
			if err != nil { // EIO: the other end is closed
				shown <- all
				return
			}
			all += string(buffer[:n])
			select {
			case written <- all:
			default:
			}
		}
	}()
	if prompt != "" {
		go func() {
			for all := range written {
				if strings.Contains(all, prompt) {
					_, _ = keyboard.WriteString(typed)
					return
				}
			}
		}()
	}
	a := &app{streams: genericiooptions.IOStreams{In: tty, Out: tty, ErrOut: tty}, now: time.Now}
	code = run(t.Context(), a, append(args, "--kubeconfig", kubeconfig, "-n", live), "test")
	_ = tty.Close()
	return <-shown, code
}

func TestAtATerminal(t *testing.T) {
	key := grown(t, mounted)
	plain := text(t, key)

	if screen, code := terminalSession(t, "", "", "status", key.Name); code != 0 || !strings.Contains(screen, "\x1b[32mActive\x1b[0m") {
		t.Errorf("no colours: %d %q", code, screen)
	}
	if screen, code := terminalSession(t, "", "", "reveal", key.Name); code != 0 || !strings.Contains(screen, plain+"\r\n") {
		t.Errorf("reveal: %d %q", code, screen)
	}
	// It is on the screen only if the terminal echoes it.
	if screen, code := terminalSession(t, "not shown", plain+"\n", "verify"); code != 0 ||
		!strings.Contains(screen, "Valid") || strings.Contains(screen, plain) {
		t.Errorf("verify: %d %q", code, screen)
	}
	if screen, code := terminalSession(t, "to go on: ", "yes\n", "revoke", key.Name); code != ExitError ||
		!strings.Contains(screen, "nothing was changed") {
		t.Errorf("another answer: %d %q", code, screen)
	}
	if current(t, key).Status.State != v1alpha1.KeyActive {
		t.Fatal("revoked by the wrong answer")
	}
	if screen, code := terminalSession(t, "to go on: ", key.Name+"\n", "revoke", key.Name); code != 0 ||
		!strings.Contains(screen, "Revoked") {
		t.Errorf("the answer: %d %q", code, screen)
	}
}

func TestNoColorIsHeard(t *testing.T) {
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = keyboard.Close(), tty.Close() }()
	a := &app{now: time.Now}
	for value, want := range map[string]bool{"": true, "1": false} {
		t.Setenv("NO_COLOR", value)
		t.Setenv("TERM", "xterm")
		if got := a.page(tty).colours; got != want {
			t.Errorf("NO_COLOR=%q: %t", value, got)
		}
	}
	if a.page(os.Stdin).colours && !isTerminal(os.Stdin) {
		t.Error("colours without a terminal")
	}
}
