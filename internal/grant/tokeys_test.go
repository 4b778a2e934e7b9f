package grant_test

import (
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// TestGrantedToKeys: where the text is the same, every key is granted the same.
func TestGrantedToKeys(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "b", "default"})
	groups := rapid.Custom(func(t *rapid.T) *v1alpha1.Group {
		group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme"}}
		for _, name := range rapid.SliceOfNDistinct(names, 0, 2, rapid.ID[string]).Draw(t, "projects") {
			group.Spec.Projects = append(group.Spec.Projects, v1alpha1.Project{Name: v1alpha1.ProjectName(name)})
		}
		for _, name := range rapid.SliceOfNDistinct(names, 0, 1, rapid.ID[string]).Draw(t, "capabilities") {
			group.Spec.Capabilities = append(group.Spec.Capabilities, v1alpha1.Capability{Name: v1alpha1.PermissionName(name)})
		}
		group.Spec.AllowedNamespaces.From = rapid.SampledFrom([]v1alpha1.NamespacesFrom{
			v1alpha1.NamespacesFromSame, v1alpha1.NamespacesFromAll, v1alpha1.NamespacesFromSelector,
		}).Draw(t, "from")
		if group.Spec.AllowedNamespaces.From == v1alpha1.NamespacesFromSelector {
			group.Spec.AllowedNamespaces.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"is": names.Draw(t, "label")}}
		}
		for _, name := range rapid.SliceOfNDistinct(names, 0, 2, rapid.ID[string]).Draw(t, "keys may set") {
			group.Spec.KeyPolicy.KeysMaySet = append(group.Spec.KeyPolicy.KeysMaySet, v1alpha1.ContextName(name))
		}
		group.Spec.DisplayName = names.Draw(t, "display name")
		required := rapid.Bool().Draw(t, "addresses required")
		group.Spec.KeyPolicy.RequireAddresses = &required
		return group
	})
	rapid.Check(t, func(t *rapid.T) {
		one, other := groups.Draw(t, "one"), groups.Draw(t, "other")
		key := grant.Subject{
			Namespace: rapid.SampledFrom([]string{"tenants", "web"}).Draw(t, "namespace"),
			GroupRef:  v1alpha1.GroupReference{Namespace: "tenants", Name: "acme"},
			Projects:  []v1alpha1.ProjectName{v1alpha1.ProjectName(names.Draw(t, "project")), "b"}, NamespaceLabels: map[string]string{"is": "a"},
			Permissions: []v1alpha1.PermissionName{v1alpha1.PermissionName(names.Draw(t, "permission")), "b"},
			Context:     map[string]v1alpha1.ContextValue{names.Draw(t, "context"): "x", "b": "y"},
		}
		same := grant.GrantedToKeys(one) == grant.GrantedToKeys(other)
		if same && !reflect.DeepEqual(grant.Grant(key, one), grant.Grant(key, other)) {
			t.Fatalf("the same text, and another answer: %+v, %+v", one.Spec, other.Spec)
		}
		other.Spec = *one.Spec.DeepCopy()
		other.Spec.DisplayName, other.Spec.Context = "another", map[string]v1alpha1.ContextValue{"a": "b"}
		if grant.GrantedToKeys(one) != grant.GrantedToKeys(other) {
			t.Fatal("what no key depends on changes the text")
		}
	})
}

// TestConcernsKeys: of all fields only the contexts do not matter to keys; one that is added later does.
func TestConcernsKeys(t *testing.T) {
	fields := reflect.TypeFor[v1alpha1.GroupSpec]()
	for i := range fields.NumField() {
		var before, after v1alpha1.GroupSpec
		fill(reflect.ValueOf(&after).Elem().Field(i))
		name := fields.Field(i).Name
		if want := !strings.HasSuffix(name, "Context"); grant.ConcernsKeys(before, after) != want {
			t.Errorf("a change of %s concerns keys: %v", name, !want)
		}
	}
}

// fill makes a value differ from that of its type.
func fill(value reflect.Value) {
	switch value.Kind() {
	case reflect.String:
		value.SetString("x")
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int32, reflect.Int64:
		value.SetInt(1)
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 1, 1))
	case reflect.Map:
		value.Set(reflect.MakeMap(value.Type()))
		value.SetMapIndex(reflect.ValueOf("x").Convert(value.Type().Key()), reflect.New(value.Type().Elem()).Elem())
	case reflect.Struct:
		fill(value.Field(0))
	}
}
