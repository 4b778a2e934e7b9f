package gitops

import (
	"context"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const others = `
apiVersion: keyward.dev/v1alpha1
kind: Group
metadata: {name: active, namespace: %[1]s}
spec: {displayName: Active}
---
apiVersion: keyward.dev/v1alpha1
kind: Group
metadata: {name: frozen, namespace: %[1]s}
spec: {displayName: Frozen, state: Frozen}
---
apiVersion: keyward.dev/v1alpha1
kind: Group
metadata: {name: suspended, namespace: %[1]s}
spec: {displayName: Suspended, state: Suspended}
---
apiVersion: keyward.dev/v1alpha1
kind: DomainAllowlist
metadata: {name: active, namespace: %[1]s}
spec: {groupRef: {name: active}, projects: [default], domains: [shop.example]}
---
apiVersion: keyward.dev/v1alpha1
kind: DomainAllowlist
metadata: {name: blocked, namespace: %[1]s}
spec: {groupRef: {name: nobody}, projects: [default], domains: [shop.example]}
`

var otherStates = []struct {
	kind, name string
	kstatus    status.Status
	health     string
}{
	{"Group", "active", status.CurrentStatus, "Healthy"},
	{"Group", "frozen", status.CurrentStatus, "Suspended"},
	{"Group", "suspended", status.CurrentStatus, "Suspended"},
	{"DomainAllowlist", "active", status.CurrentStatus, "Healthy"},
	{"DomainAllowlist", "blocked", status.FailedStatus, "Degraded"},
}

// TestOtherKinds judges Groups and DomainAllowlists as TestStates judges ApiKeys.
func TestOtherKinds(t *testing.T) {
	recordOthers(t, needCluster(t), nil)
}

func recordOthers(t *testing.T, c *cluster, kept *recording) {
	t.Helper()
	namespace := c.namespace(t, "kinds")
	for _, u := range parse(t, fmt.Sprintf(others, namespace)) {
		if err := c.admin.Create(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		// Before the manager has seen it, it is in progress for everybody.
		unseen := u.DeepCopy()
		unstructured.RemoveNestedField(unseen.Object, "status", "conditions")
		if err := unstructured.SetNestedField(unseen.Object, int64(-1), "status", "observedGeneration"); err != nil {
			t.Fatal(err)
		}
		judge(t, unseen, status.InProgressStatus, "Progressing")
		if kept != nil && u.GetName() == "active" {
			keep(t, kept, u.GetKind(), "unseen", unseen)
		}
	}
	for _, want := range otherStates {
		var u *unstructured.Unstructured
		eventually(t, want.kind+" "+want.name, func(ctx context.Context) (err error) {
			if u, err = c.live(ctx, want.kind, namespace, want.name); err != nil {
				return err
			}
			result, err := status.Compute(u)
			if err == nil && result.Status != want.kstatus {
				err = fmt.Errorf("kstatus is %s: %s, want %s", result.Status, result.Message, want.kstatus)
			}
			return err
		})
		judge(t, u, want.kstatus, want.health)
		if kept != nil {
			keep(t, kept, want.kind, want.name, u)
		}
	}
}

// judge asks Flux and Argo CD for the health of an object.
func judge(t *testing.T, u *unstructured.Unstructured, kstatus status.Status, health string) {
	t.Helper()
	result, err := status.Compute(u)
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != kstatus {
		t.Errorf("%s %s: kstatus is %s: %s, want %s", u.GetKind(), u.GetName(), result.Status, result.Message, kstatus)
	}
	judgeByExpressions(t, u, kstatus)
	got, err := healthOf(u, script(t, u.GetKind(), "health.lua"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != health || got.Message == "" {
		t.Errorf("%s %s: Argo CD's health is %+v, want %s with a message", u.GetKind(), u.GetName(), got, health)
	}
}

func keep(t *testing.T, kept *recording, kind, state string, u *unstructured.Unstructured) {
	t.Helper()
	health, err := healthOf(u, script(t, kind, "health.lua"))
	if err != nil {
		t.Fatal(err)
	}
	kept.keep(t, kind, state, u, health, nil)
}

// TestKeyIsInProgressUntilSeen: an ApiKey that was created or changed is in progress until the manager has seen it, and while
// it is deleted.
func TestKeyIsInProgressUntilSeen(t *testing.T) {
	c := needCluster(t)
	namespace := c.namespace(t, "unseen")
	objects := parse(t, fmt.Sprintf(shop, namespace)+"---"+fmt.Sprintf(keyOf, namespace, "key", "shop", ""))
	for _, u := range objects {
		if err := c.admin.Create(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	judge(t, objects[1], status.InProgressStatus, "Progressing")
	c.awaitKey(t, namespace, "key", "active", inState(v1alpha1.KeyActive, 1))
	changed, err := c.live(t.Context(), "ApiKey", namespace, "key")
	if err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(changed.Object, "changed", "spec", "description"); err != nil {
		t.Fatal(err)
	}
	if err := c.admin.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	judge(t, changed, status.InProgressStatus, "Progressing")

	c.awaitKey(t, namespace, "key", "active", inState(v1alpha1.KeyActive, 1))
	c.patch(t, "test", "ApiKey", namespace, "key", `{"metadata":{"finalizers":["keyward.dev/enforcement","example.com/hold"]}}`)
	if changed, err = c.live(t.Context(), "ApiKey", namespace, "key"); err != nil {
		t.Fatal(err)
	}
	if err := c.admin.Delete(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deletion", func(ctx context.Context) (err error) {
		changed, err = c.live(ctx, "ApiKey", namespace, "key")
		return err
	})
	if result, err := status.Compute(changed); err != nil || result.Status != status.TerminatingStatus {
		t.Errorf("kstatus is %v, %v", result, err)
	}
	if health, err := healthOf(changed, script(t, "ApiKey/health.lua")); err != nil || health.Status != "Progressing" {
		t.Errorf("Argo CD's health is %+v, %v", health, err)
	}
	c.patch(t, "test", "ApiKey", namespace, "key", `{"metadata":{"finalizers":null}}`)
}
