package usagequery_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/decisioncode"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// TestRefusals: those of the key, by its id, of the last 48 hours, with the hint of the table of codes, in which no placeholder is left.
func TestRefusals(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	key.Spec.GroupRef = v1alpha1.GroupReference{Name: "acme", Namespace: "tenants"}
	key.Spec.Projects = []v1alpha1.ProjectName{"marketing"}
	key.Status.KeyID = "k1"
	recorded := &v1alpha1.GroupUsage{}
	add := func(id, code string, ago time.Duration) {
		recorded.Status.RefusedKeys = append(recorded.Status.RefusedKeys, v1alpha1.RefusedKey{
			KeyID: id, Code: code, APIKey: v1alpha1.KeyUsageOwner{Namespace: "shop", Name: "web"}, Requests: 3,
			FirstAt: metav1.NewTime(now.Add(-ago - time.Hour)), LastAt: metav1.NewTime(now.Add(-ago)), Origin: "https://copy.example",
		})
	}
	for _, code := range decisioncode.All() {
		if code.Refuses() {
			add("k1", code.String(), time.Minute)
		}
	}
	all := len(recorded.Status.RefusedKeys)
	add("k1", "other", time.Minute)
	add("k0", "key_expired", time.Minute) // of an ApiKey that had the name before
	add("k1", "key_expired", 49*time.Hour)
	refusals := usagequery.Refusals(recorded, key, now)
	if len(refusals) != all+1 || refusals[all].Code != "other" || refusals[all].Cause == "" || refusals[all].Status != 0 {
		t.Fatalf("%d: %+v", len(refusals), refusals)
	}
	said := map[string]usagequery.KeyRefusal{}
	for _, is := range refusals[:all] {
		if text := is.Cause + is.Hint; strings.ContainsAny(text, "{}") || is.Hint == "" || is.Requests != 3 || is.Origin != "https://copy.example" {
			t.Errorf("%+v", is)
		}
		said[is.Code] = is
	}
	for code, part := range map[string]string{
		"origin_denied": "Project marketing may not be used from https://copy.example.", "group_frozen": "Group tenants/acme is frozen",
		"project_denied": "not scoped to the project that the request was for.", "permission_denied": "does not permit this method",
	} {
		if !strings.Contains(said[code].Cause, part) {
			t.Errorf("%s: %s", code, said[code].Cause)
		}
	}
	if hint := said["project_denied"].Hint; !strings.Contains(hint, "add the project that the request was for to spec.projects") {
		t.Error(hint)
	}
	key.Spec.Projects = nil
	for _, is := range usagequery.Refusals(recorded, key, now)[:all] {
		if is.Code == "origin_denied" && is.Cause != "The project that the request was for may not be used from https://copy.example." {
			t.Error(is.Cause)
		}
	}
	if hint := said["key_suspended"].Hint; !strings.Contains(hint, "resume -n shop web") || said["key_suspended"].Status != 403 {
		t.Errorf("%+v", said["key_suspended"])
	}
	if none := usagequery.Refusals(recorded, &v1alpha1.ApiKey{}, now); len(none) > 0 {
		t.Errorf("a key without an id has %+v", none)
	}
}
