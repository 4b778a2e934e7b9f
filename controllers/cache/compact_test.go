package cache_test

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/json"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
)

const aKey = `{"apiVersion":"keyward.dev/v1alpha1","kind":"ApiKey","metadata":{"name":%q,"namespace":"team","finalizers":["keyward.dev/key"],
	"labels":{"team":"shop"},"annotations":{"keyward.dev/created-by":"jane"},"managedFields":[{"manager":"kubectl"}]},
	"spec":{"groupRef":{"name":"acme"},"projects":["marketing"],"description":"The shop"},
	"status":{"state":"Active","versions":[{"id":1,"state":"Current","digest":"sha256:1"}],"enforcement":{"waitingFor":["server-1"]},
	"conditions":[{"type":"Ready","status":"True","reason":"Valid","message":%q},{"type":"Accepted","status":"True","reason":"Written","message":"it is written"},
	{"type":"Enforced","status":"True","reason":"Acknowledged","message":"by 2 of 2"}]}}`

func decodedKey(t testing.TB, name string) *v1alpha1.ApiKey {
	t.Helper()
	key := &v1alpha1.ApiKey{}
	if err := json.Unmarshal(fmt.Appendf(nil, aKey, name, "Secret "+name), key); err != nil {
		t.Fatal(err)
	}
	return key
}

func compacted[T any](t testing.TB, c *cache.Compact, object T) T {
	t.Helper()
	out, err := c.Transform(object)
	if err != nil {
		t.Fatal(err)
	}
	return out.(T)
}

// TestCompactKeys: an ApiKey says the same, without managed fields; slices have no spare room; equal words are one text.
func TestCompactKeys(t *testing.T) {
	c := &cache.Compact{}
	want, decoded := decodedKey(t, "a"), decodedKey(t, "a")
	if cap(decoded.Status.Conditions) == len(decoded.Status.Conditions) {
		t.Fatal("decoding leaves no room: there is nothing to be won")
	}
	want.ManagedFields = nil
	a, b := compacted(t, c, decoded), compacted(t, c, decodedKey(t, "b"))
	if !equality.Semantic.DeepEqual(a, want) {
		t.Errorf("it became %+v", a)
	}
	again := compacted(t, c, compacted(t, c, decodedKey(t, "a")))
	if !equality.Semantic.DeepEqual(again, want) {
		t.Errorf("the second time, it became %+v", again)
	}
	if cap(a.Status.Conditions) != 3 || cap(a.Status.Versions) != 1 || cap(a.Spec.Projects) != 1 {
		t.Errorf("room for %d conditions, %d versions, %d projects", cap(a.Status.Conditions), cap(a.Status.Versions), cap(a.Spec.Projects))
	}
	for name, of := range map[string]func(*v1alpha1.ApiKey) string{
		"kind":       func(k *v1alpha1.ApiKey) string { return k.Kind },
		"namespace":  func(k *v1alpha1.ApiKey) string { return k.Namespace },
		"label":      func(k *v1alpha1.ApiKey) string { return k.Labels["team"] },
		"annotation": func(k *v1alpha1.ApiKey) string { return k.Annotations["keyward.dev/created-by"] },
		"project":    func(k *v1alpha1.ApiKey) string { return string(k.Spec.Projects[0]) },
		"state":      func(k *v1alpha1.ApiKey) string { return string(k.Status.State) },
		"server":     func(k *v1alpha1.ApiKey) string { return k.Status.Enforcement.WaitingFor[0] },
		"reason":     func(k *v1alpha1.ApiKey) string { return k.Status.Conditions[0].Reason },
		"message":    func(k *v1alpha1.ApiKey) string { return k.Status.Conditions[1].Message },
	} {
		if unsafe.StringData(of(a)) != unsafe.StringData(of(b)) {
			t.Errorf("%s: two texts %q", name, of(a))
		}
	}
}

// TestCompactIsBounded: who makes up texts does not fill the memory, and long ones are not remembered.
func TestCompactIsBounded(t *testing.T) {
	c := &cache.Compact{}
	withType := func(text string) *corev1.Secret {
		return compacted(t, c, &corev1.Secret{Type: corev1.SecretType(strings.Clone(text))})
	}
	same := func(a, b *corev1.Secret) bool {
		return unsafe.StringData(string(a.Type)) == unsafe.StringData(string(b.Type))
	}
	if one := withType("Opaque"); !same(one, withType("Opaque")) {
		t.Error("equal types are two texts")
	} else {
		for i := range 5000 { // more than are remembered
			withType(fmt.Sprint("type", i))
		}
		if same(one, withType("Opaque")) {
			t.Error("texts are remembered for ever")
		}
	}
	if long := strings.Repeat("a", 257); same(withType(long), withType(long)) {
		t.Error("long texts are remembered")
	}
}

// TestCompactChangesNothing: a Secret has afterwards what it had before.
func TestCompactChangesNothing(t *testing.T) {
	c := &cache.Compact{}
	words := rapid.MapOf(rapid.String(), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		secret := &corev1.Secret{}
		secret.Labels, secret.Annotations = words.Draw(t, "labels"), words.Draw(t, "annotations")
		for name, text := range words.Draw(t, "data") {
			if secret.Data == nil {
				secret.Data = map[string][]byte{}
			}
			secret.Data[name] = []byte(text)
		}
		want := secret.DeepCopy()
		out, err := c.Transform(secret)
		if err != nil || !equality.Semantic.DeepEqual(out, want) {
			t.Fatalf("%+v became %+v, %v", want, out, err)
		}
	})
}

// BenchmarkCompact is what the cache spends on each change of an ApiKey.
func BenchmarkCompact(b *testing.B) {
	c := &cache.Compact{}
	key := decodedKey(b, "a")
	for b.Loop() {
		compacted(b, c, key)
	}
}
