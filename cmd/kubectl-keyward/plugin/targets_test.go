package plugin

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// siblings returns delivered ApiKeys with a label.
func siblings(t *testing.T, label string, names ...string) []*v1alpha1.ApiKey {
	t.Helper()
	first := grown(t, func(k *v1alpha1.ApiKey) { k.Labels = map[string]string{"incident": label} })
	keys := []*v1alpha1.ApiKey{first}
	for _, name := range names {
		key := first.DeepCopy()
		key.ObjectMeta = metav1.ObjectMeta{Namespace: live, Name: first.Name + "-" + name, Labels: first.Labels}
		key.Status = v1alpha1.ApiKeyStatus{}
		if err := admin.Create(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the key is delivered", func() bool { return current(t, key).Status.SecretRef != nil })
		keys = append(keys, key)
	}
	return keys
}

func states(t *testing.T, keys []*v1alpha1.ApiKey) string {
	t.Helper()
	var all []string
	for _, key := range keys {
		all = append(all, string(current(t, key).Status.State))
	}
	return strings.Join(all, " ")
}

func TestSeveralKeys(t *testing.T) {
	obey(t, server(t, "edge-1"))
	keys := siblings(t, "2026-11", "b", "c")
	a, b, c := keys[0].Name, keys[1].Name, keys[2].Name

	inLive(t, "", "suspend", a, b).expect(t, 0, a+" is Suspended: in force on 1 of 1 servers", b+" is Suspended").lacks(t, c)
	if got := states(t, keys); got != "Suspended Suspended Active" {
		t.Error(got)
	}
	for _, entry := range current(t, keys[0]).ManagedFields {
		if strings.HasPrefix(entry.Manager, "kubectl") {
			t.Errorf("Flux would take over what %s has set", entry.Manager)
		}
	}
	// One of the named ones would not rotate: nothing is changed.
	inLive(t, "", "rotate", c, a).expect(t, ExitRefused, "is suspended", "nothing was changed")
	if current(t, keys[2]).Annotations[v1alpha1.AnnotationRotateRequestedAt] != "" {
		t.Error("one of two is rotated")
	}
	// Of selected ones, those that it does not apply to are left out.
	inLive(t, "", "rotate", "-l", "incident=2026-11").expect(t, ExitUsage, "Left as it is: ", a, live+"/"+c, "add --yes")
	inLive(t, "", "rotate", "-l", "incident=2026-11", "--yes").expect(t, 0, c+" is rotated").lacks(t, a+" is rotated")
	if len(current(t, keys[2]).Status.Versions) != 2 || len(current(t, keys[0]).Status.Versions) != 1 {
		t.Error("not the right one is rotated")
	}
	inLive(t, "", "resume", "-l", "incident in (2026-11)", "--yes").expect(t, 0, a+" is Active", b+" is Active", c+" is Active")
	done := read[outcomes](t, inLive(t, "", "rotate", a, b, a, "--overlap", "0s", "--yes", "-o", "json").expect(t, 0))
	if len(done.Keys) != 2 || done.Action != "rotate" || len(done.Failed) != 0 {
		t.Errorf("%+v", done)
	}
	for _, key := range keys[:2] {
		if v := current(t, key).Status.Versions; len(v) != 2 || v[0].State != v1alpha1.VersionRetired {
			t.Errorf("%s: %+v", key.Name, v)
		}
	}

	inLive(t, "", "revoke", "-l", "incident=2026-11").expect(t, ExitUsage, "these 3 ApiKeys are refused for good", live+"/"+a, live+"/"+b, live+"/"+c)
	if screen, code := terminalSession(t, "to go on: ", "2\n", "revoke", "-l", "incident=2026-11"); code != ExitError {
		t.Errorf("another number: %d %q", code, screen)
	}
	if got := states(t, keys); got != "Active Active Active" {
		t.Fatal(got)
	}
	if screen, code := terminalSession(t, "to go on: ", "3\n", "revoke", "-l", "incident=2026-11"); code != 0 ||
		strings.Count(screen, "is Revoked") != 0 && strings.Count(screen, "Revoked") < 3 {
		t.Errorf("%d %q", code, screen)
	}
	if got := states(t, keys); got != "Revoked Revoked Revoked" {
		t.Error(got)
	}
	inLive(t, "", "revoke", "-l", "incident=2026-11", "--yes").expect(t, ExitRefused, "is revoked already", "applies to none of the 3 ApiKeys")
	inLive(t, "", "revoke", a, b, "--yes").expect(t, 0, a+" is Revoked", b+" is Revoked")
}

func TestAllKeysOfANamespace(t *testing.T) {
	namespace(t, "whole")
	for _, name := range []string{"a", "b"} {
		object(t, "whole", name, func(*v1alpha1.ApiKey) {})
	}
	object(t, "whole", "over", func(k *v1alpha1.ApiKey) { k.Status.State = v1alpha1.KeyExpired })
	done := read[outcomes](t, keyward(t, "", "suspend", "--all", "-n", "whole", "--yes", "--wait=false", "-o", "json").
		expect(t, 0, "Left as it is: ApiKey whole/over has expired"))
	if len(done.Keys) != 2 || done.Waited {
		t.Errorf("%+v", done)
	}
	var list v1alpha1.ApiKeyList
	if err := admin.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	suspended := slices.DeleteFunc(list.Items, func(k v1alpha1.ApiKey) bool {
		return k.Namespace != "whole" || !ptr.Deref(k.Spec.Suspended, false)
	})
	if len(suspended) != 2 {
		t.Errorf("%d are suspended", len(suspended))
	}
	// Nothing looks at them: each is reported.
	keyward(t, "", "resume", "a", "b", "-n", "whole", "--timeout", "200ms").expect(t, ExitTimeout, "2 ApiKeys: a: ", "; b: ")
}

func TestTargets(t *testing.T) {
	namespace(t, "targets")
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"none":              {nil, ExitUsage, "name at least one ApiKey"},
		"an empty selector": {[]string{"-l", ""}, ExitUsage, "write --all if that is intended"},
		"a blank selector":  {[]string{"-l", " "}, ExitUsage, "write --all if that is intended"},
		"one of commas":     {[]string{"-l", " , "}, ExitUsage, "--selector: "},
		"two ways":          {[]string{"web", "--all"}, ExitUsage, "not two of them"},
		"two flags":         {[]string{"-l", "a=b", "--all"}, ExitUsage, "not two of them"},
		"no selector":       {[]string{"-l", "a in b"}, ExitUsage, "write labels such as"},
		"nothing selected":  {[]string{"-l", "a=b"}, ExitError, "is selected"},
		"an empty one":      {[]string{"--all"}, ExitError, "is selected"},
		"a name that is no": {[]string{"web", "Not_A_Name"}, ExitUsage, "no ApiKey can have such a name"},
		"a missing one":     {[]string{"web"}, ExitError, `there is no ApiKey "web"`},
	} {
		for _, verb := range []string{"rotate", "revoke", "suspend", "resume"} {
			t.Run(name+" "+verb, func(t *testing.T) {
				keyward(t, "", append([]string{verb, "-n", "targets", "--yes"}, test.args...)...).expect(t, test.code, test.want)
			})
		}
	}
}
