package cache_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// BenchmarkHeld is how many bytes the cache holds of an ApiKey, as the manager leaves it, and of its Secret: as they are decoded, and compact.
func BenchmarkHeld(b *testing.B) {
	const pairs = 5000
	text, err := os.ReadFile("testdata/apikey.json")
	if err != nil {
		b.Fatal(err)
	}
	secret := &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"api-key": make([]byte, 49)}}
	secret.Namespace, secret.UID, secret.ResourceVersion = "acme", "90630a81-60fa-44f0-93d6-d4f369a18ddc", "327"
	secret.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelAPIKey: "kvcg03gv50l26jili"}
	secret.Annotations = map[string]string{
		v1alpha1.AnnotationAPIKey: "seed-000001", v1alpha1.AnnotationExpiresAt: "2027-02-26T18:09:22Z", v1alpha1.AnnotationMintedAt: "2026-11-28T18:09:22Z",
		v1alpha1.AnnotationPreview: "kw_…egmd", v1alpha1.AnnotationSeal: strings.Repeat("s", 46), v1alpha1.AnnotationVersion: "1",
	}
	secret.OwnerReferences = []metav1.OwnerReference{{APIVersion: "keyward.dev/v1alpha1", Kind: "ApiKey", Name: "seed-000001", UID: secret.UID}}
	for b.Loop() {
		for name, transform := range map[string]func(any) (any, error){
			"B-decoded/pair": func(object any) (any, error) { return object, nil }, "B-compact/pair": new(cache.Compact).Transform,
		} {
			held, before := make([]any, 0, 2*pairs), heap()
			for i := range pairs {
				key, copied := &v1alpha1.ApiKey{}, &corev1.Secret{}
				is := strings.ReplaceAll(string(text), "seed-000001", fmt.Sprintf("seed-%06d", i))
				secret.Name = fmt.Sprintf("seed-%06d", i)
				encoded, err := secret.Marshal()
				if err = errors.Join(err, json.Unmarshal([]byte(is), key), copied.Unmarshal(encoded)); err != nil {
					b.Fatal(err)
				}
				for _, object := range []any{key, copied} {
					if object, err = transform(object); err != nil {
						b.Fatal(err)
					}
					held = append(held, object)
				}
			}
			b.ReportMetric(float64(heap()-before)/pairs, name)
			runtime.KeepAlive(held)
		}
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
