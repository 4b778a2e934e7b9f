package gitops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

var probe = &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "probe"}}

// parse reads all objects of a YAML text.
func parse(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(text), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(u)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Object) > 0 {
			all = append(all, u)
		}
	}
}

// read reads a file of the repository.
func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// live returns an object as the API server has it.
func (c *cluster) live(ctx context.Context, kind, namespace, name string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(v1alpha1.GroupVersion.String())
	u.SetKind(kind)
	err := c.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u)
	return u, err
}

// patch merges JSON into an ApiKey or another object of Keyward as a field manager.
func (c *cluster) patch(t *testing.T, manager, kind, namespace, name, merge string) {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(v1alpha1.GroupVersion.String())
	u.SetKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	if err := c.admin.Patch(t.Context(), u, client.RawPatch(types.MergePatchType, []byte(merge)), client.FieldOwner(manager)); err != nil {
		t.Fatal(err)
	}
}

// key returns an ApiKey.
func (c *cluster) key(ctx context.Context, namespace, name string) (*v1alpha1.ApiKey, error) {
	key := &v1alpha1.ApiKey{}
	err := c.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, key)
	return key, err
}

// awaitKey waits until the ApiKey meets the condition.
func (c *cluster) awaitKey(t *testing.T, namespace, name, what string, condition func(*v1alpha1.ApiKey) bool) *v1alpha1.ApiKey {
	t.Helper()
	var found *v1alpha1.ApiKey
	eventually(t, fmt.Sprintf("ApiKey %s/%s to be %s", namespace, name, what), func(ctx context.Context) (err error) {
		if found, err = c.key(ctx, namespace, name); err != nil {
			return err
		}
		if found.Status.ObservedGeneration != found.Generation || !condition(found) {
			return fmt.Errorf("its state is %s, its conditions are %+v", found.Status.State, found.Status.Conditions)
		}
		return nil
	})
	return found
}

// inState is the condition that a key has reached a state and a version.
func inState(state v1alpha1.KeyState, version int64) func(*v1alpha1.ApiKey) bool {
	return func(key *v1alpha1.ApiKey) bool {
		return key.Status.State == state && (version == 0 || latest(key) == version) && isTrue(key, v1alpha1.ConditionReady)
	}
}

func isTrue(key *v1alpha1.ApiKey, name string) bool {
	for i := range key.Status.Conditions {
		if c := &key.Status.Conditions[i]; c.Type == name {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}

// latest is the id of the current version, once it is delivered.
func latest(key *v1alpha1.ApiKey) int64 {
	versions := key.Status.Versions
	if len(versions) == 0 || versions[len(versions)-1].DeliveredAt == nil {
		return 0
	}
	return versions[len(versions)-1].ID
}
