package view

import (
	"bytes"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/role"
)

// anyKey is a key whose status somebody has edited, or whose manager is of another release.
func anyKey(t *rapid.T) *v1alpha1.ApiKey {
	text, when := rapid.StringN(0, 12, 64), rapid.Int64Range(-400, 400)
	instant := func(name string) *metav1.Time {
		if rapid.Bool().Draw(t, name+" is there") {
			return at(time.Duration(when.Draw(t, name)) * time.Hour)
		}
		return nil
	}
	return web(func(k *v1alpha1.ApiKey) {
		k.Name, k.Spec.Description = text.Draw(t, "name"), text.Draw(t, "description")
		k.Spec.Suspended, k.Spec.Revoked = ptr.To(rapid.Bool().Draw(t, "suspended")), ptr.To(rapid.Bool().Draw(t, "revoked"))
		k.Spec.Rotation.Overlap = v1alpha1.Duration(rapid.SampledFrom([]string{"", "0s", "24h", "soon", "30s"}).Draw(t, "overlap"))
		k.Spec.Secret.Reveal = rapid.SampledFrom([]v1alpha1.Reveal{"", v1alpha1.RevealMounted, v1alpha1.RevealOnce}).Draw(t, "reveal")
		k.Annotations = map[string]string{v1alpha1.AnnotationChanges: text.Draw(t, "changes")}
		k.Status.State = rapid.SampledFrom([]v1alpha1.KeyState{"", v1alpha1.KeyActive, v1alpha1.KeySuspended, v1alpha1.KeyBlocked, v1alpha1.KeyExpired,
			v1alpha1.KeyRevoked, "Unheard"}).Draw(t, "state")
		k.Status.ExpiresAt, k.Status.LastUsedAt, k.Status.NextRotationAt = instant("expiry"), instant("use"), instant("rotation")
		k.Status.Conditions = nil
		for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionAccepted, v1alpha1.ConditionStalled, v1alpha1.ConditionLeaked} {
			if rapid.Bool().Draw(t, kind) {
				k.Status.Conditions = append(k.Status.Conditions, metav1.Condition{Type: kind, Message: text.Draw(t, "message"),
					Status: rapid.SampledFrom([]metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse}).Draw(t, "status")})
			}
		}
		if rapid.Bool().Draw(t, "no enforcement") {
			k.Status.Enforcement = nil
		} else {
			k.Status.Enforcement = &v1alpha1.Enforcement{Latency: text.Draw(t, "latency")}
		}
		if rapid.Bool().Draw(t, "no Secret") {
			k.Status.SecretRef = nil
		}
		k.Status.Versions = nil
		for range rapid.IntRange(0, 4).Draw(t, "versions") {
			k.Status.Versions = append(k.Status.Versions, v1alpha1.KeyVersion{
				State: rapid.SampledFrom([]v1alpha1.VersionState{v1alpha1.VersionPending, v1alpha1.VersionActive, v1alpha1.VersionRetiring,
					v1alpha1.VersionRevoked, "Unheard"}).Draw(t, "state of a version"),
				DeliveredAt: instant("delivery"), ClaimedAt: instant("claim"), ReplacedAt: instant("replacement"), RetiresAt: instant("end"), ExpiresAt: instant("its expiry"),
			})
		}
	})
}

// TestAnyKeyHasPages: the pages of any key can be shown, nothing of it becomes markup, and nobody is offered what their role does not
// include.
func TestAnyKeyHasPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, group := anyKey(t), acme()
		key.Spec.Description += "<b onclick='x'>"
		s := sight(rapid.SampledFrom(append(role.All(), "")).Draw(t, "role"))
		s.ReadsSecret = rapid.Bool().Draw(t, "reads the Secret")
		var to bytes.Buffer
		detail := s.Key(group, key)
		for _, write := range []func() error{
			func() error { return detail.Write(&to, page.Frame{Now: now}) },
			func() error { return s.Rotate(key).Write(&to, page.Frame{Now: now}) },
			func() error { return s.Suspend(group, used(), key).Write(&to, page.Frame{Now: now}) },
			func() error { return s.Resume(group, key).Write(&to, page.Frame{Now: now}) },
			func() error { return s.Revoke(group, used(), key).Write(&to, page.Frame{Now: now}) },
			func() error { return page.Keys{Keys: []page.Key{s.KeyRow(key)}}.Write(&to, page.Frame{Now: now}) },
		} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(to.String(), "<b onclick") {
			t.Error("a description is markup")
		}
		if len(detail.Actions) > 0 && !role.May(s.Role, role.RevokeKey) {
			t.Errorf("%s is offered %v", s.Role, detail.Actions)
		}
	})
}
