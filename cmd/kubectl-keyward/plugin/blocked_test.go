package plugin

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestRotateOfWhatDoesNotRotate: it is refused before anything changes.
func TestRotateOfWhatDoesNotRotate(t *testing.T) {
	obey(t, server(t, "edge-1"))
	key := grown(t, mounted)
	refused := func(parts ...string) {
		t.Helper()
		for _, args := range [][]string{nil, {"--overlap", "0s", "--yes"}, {"--wait=false"}} {
			inLive(t, "", append([]string{"rotate", key.Name}, args...)...).expect(t, ExitRefused, append(parts, "nothing was changed")...)
			if got := current(t, key); got.Annotations[v1alpha1.AnnotationRotateRequestedAt] != "" || len(key.Status.Versions) != 1 {
				t.Errorf("changed: %+v", got)
			}
		}
	}
	inLive(t, "", "suspend", key.Name).expect(t, 0)
	refused("is suspended", "kubectl keyward -n live resume "+key.Name)
	inLive(t, "", "resume", key.Name).expect(t, 0)

	declare := func(state v1alpha1.GroupState) {
		t.Helper()
		g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: live, Name: key.Name}}
		if err := admin.Patch(t.Context(), g,
			client.RawPatch(types.MergePatchType, []byte(`{"spec":{"state":"`+string(state)+`"}}`))); err != nil {
			t.Fatal(err)
		}
	}
	for state, reason := range map[v1alpha1.GroupState]string{
		v1alpha1.GroupFrozen: v1alpha1.ReasonGroupFrozen, v1alpha1.GroupSuspended: v1alpha1.ReasonGroupSuspended,
	} {
		declare(state)
		eventually(t, "the key knows of its Group", func() bool {
			for _, c := range current(t, key).Status.Conditions {
				if c.Type == v1alpha1.ConditionReady && c.Reason == reason {
					return true
				}
			}
			return false
		})
		refused(reason, "until its spec.state is Active again")
	}
	declare(v1alpha1.GroupActive)
	eventually(t, "the key is active again", func() bool { return current(t, key).Status.State == v1alpha1.KeyActive })

	if err := admin.Patch(t.Context(), key,
		client.RawPatch(types.MergePatchType, []byte(`{"spec":{"projects":["nowhere"]}}`))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the key is blocked", func() bool { return current(t, key).Status.State == v1alpha1.KeyBlocked })
	refused("is Blocked", v1alpha1.ReasonProjectNotFound)
}

// TestRotateThatIsBlockedMeanwhile plays a manager that has seen a freeze which rotate has not.
func TestRotateThatIsBlockedMeanwhile(t *testing.T) {
	namespace(t, "meanwhile")
	for name, test := range map[string]struct {
		minted bool
		code   int
		want   string
	}{
		"before": {false, ExitRefused, "the request is taken back"},
		"after":  {true, ExitTimeout, "it is declared, and goes on"},
	} {
		t.Run(name, func(t *testing.T) {
			const annotation = v1alpha1.AnnotationRotateRequestedAt
			key := object(t, "meanwhile", name, func(k *v1alpha1.ApiKey) {
				k.Annotations = map[string]string{annotation: "earlier"}
				k.Spec.Rotation.Trigger = "of Git"
			})
			results := make(chan result, 1)
			go func() { results <- keyward(t, "", "rotate", name, "-n", "meanwhile", "--overlap", "0s", "--yes") }()
			eventually(t, "it is declared", func() bool { return strings.HasSuffix(current(t, key).Annotations[annotation], ";overlap=0s") })
			key.Status.State = v1alpha1.KeySuspended
			condition(key, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonGroupFrozen, "Group meanwhile/acme is Frozen")
			key.Status.Conditions[0].ObservedGeneration = key.Generation
			if test.minted {
				v := version(t, 2, v1alpha1.VersionPending, 0)
				v.RotateRequest, v.DeliveredAt = key.Annotations[annotation], nil
				key.Status.Versions = append(key.Status.Versions, v)
			}
			if err := admin.Status().Update(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			(<-results).expect(t, test.code, test.want, "GroupFrozen: Group meanwhile/acme is Frozen")
			if got := current(t, key); (got.Annotations[annotation] == "earlier") == test.minted || got.Spec.Rotation.Trigger != "of Git" ||
				got.Spec.Rotation.Overlap != "24h" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestRotateThatWaitsForAnOverlap: it says so, and how to avoid it.
func TestRotateThatWaitsForAnOverlap(t *testing.T) {
	obey(t, server(t, "edge-1"))
	key := grown(t, mounted)
	for range 4 {
		inLive(t, "", "rotate", key.Name).expect(t, 0)
	}
	inLive(t, "", "rotate", key.Name, "--timeout", "15s").expect(t, ExitTimeout, "waits until one of 4 overlaps ends",
		"rotate "+key.Name+" --overlap 0s").
		lacks(t, "has not looked at it")
	inLive(t, "", "rotate", key.Name, "--overlap", "0s", "--yes").expect(t, 0, "is rotated")
}

// TestATimeoutSaysWhatTheManagerSays plays a manager that has seen the edit, and has nothing to do.
func TestATimeoutSaysWhatTheManagerSays(t *testing.T) {
	namespace(t, "content")
	key := object(t, "content", "web", func(*v1alpha1.ApiKey) {})
	results := make(chan result, 1)
	go func() { results <- keyward(t, "", "rotate", "web", "-n", "content", "--timeout", "15s") }()
	eventually(t, "it is declared", func() bool { return current(t, key).Annotations[v1alpha1.AnnotationRotateRequestedAt] != "" })
	condition(key, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "the key is accepted, and is left as it is")
	key.Status.Conditions[0].ObservedGeneration = key.Generation
	if err := admin.Status().Update(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	(<-results).expect(t, ExitTimeout, "and is left as it is").lacks(t, "has not looked at it")
	keyward(t, "", "suspend", "web", "-n", "content", "--timeout", "100ms").expect(t, ExitTimeout, "the manager has not looked at it")
}

func TestBlocked(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.ApiKey)
		want   bool
	}{
		"active":             {func(*v1alpha1.ApiKey) {}, false},
		"suspended just now": {func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) }, true},
		"suspended":          {func(k *v1alpha1.ApiKey) { k.Status.State = v1alpha1.KeySuspended }, true},
		"resumed just now":   {func(k *v1alpha1.ApiKey) { k.Status.State, k.Generation = v1alpha1.KeySuspended, 2 }, false},
		"active, but stalled": {func(k *v1alpha1.ApiKey) {
			condition(k, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSecretConflict, "")
		}, true},
		"granted a part": {func(k *v1alpha1.ApiKey) {
			condition(k, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonPermissionNotFound, "")
		}, false},
		"without a part of its context": {func(k *v1alpha1.ApiKey) {
			condition(k, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonContextNotAllowed, "")
		}, false},
		"granted nothing": {func(k *v1alpha1.ApiKey) {
			k.Status.State = v1alpha1.KeyBlocked
			condition(k, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonPermissionNotFound, "")
		}, true},
		"not looked at": {func(k *v1alpha1.ApiKey) { k.Status.Conditions = nil }, false},
	} {
		key := &v1alpha1.ApiKey{}
		key.Generation, key.Status.State = 1, v1alpha1.KeyActive
		condition(key, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "")
		test.change(key)
		if got := blocked(key) != nil; got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestVerifyOfAKeyOfTwo: the key is in two ApiKeys, in all combinations and orders of states.
func TestVerifyOfAKeyOfTwo(t *testing.T) {
	states := map[string]func(*v1alpha1.ApiKey){
		"accepted": func(*v1alpha1.ApiKey) {},
		"revoked":  func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) },
		"replaced": func(k *v1alpha1.ApiKey) { k.Status.Versions[0].State = v1alpha1.VersionRetired },
		"expired":  func(k *v1alpha1.ApiKey) { k.Status.Versions[0].ExpiresAt = at(-time.Second) },
	}
	for first := range states {
		for second := range states {
			t.Run(first+" and "+second, func(t *testing.T) {
				where := "two-" + first + "-" + second
				namespace(t, where)
				for name, state := range map[string]string{"a": first, "b": second} {
					object(t, where, name, func(k *v1alpha1.ApiKey) {
						k.Status.Versions[0].Digest = mint(t, 41).Digest().String()
						states[state](k)
					})
				}
				code, want := ExitRefused, first
				if first == "accepted" {
					want = second
				}
				if want == "accepted" {
					code = 0
				}
				r := keyward(t, mint(t, 41).Reveal(), "verify", "-n", where).expect(t, code, want)
				line := splitLines(r.out)[0]
				if code != 0 {
					(result{out: line}).expect(t, 0, "Not valid: it ", want)
				}
				v := read[verdict](t, keyward(t, mint(t, 41).Reveal(), "verify", "-n", where, "-o", "json"))
				if v.Valid != (code == 0) || len(v.Matches) != 2 {
					t.Errorf("%+v", v)
				}
			})
		}
	}
}
