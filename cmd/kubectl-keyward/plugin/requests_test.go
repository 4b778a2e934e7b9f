package plugin

import (
	"strings"
	"testing"
	"time"
	"unicode"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

// asked creates a KeyRequest with its review, as the manager does, in which it was asked for at an instant.
func asked(t *testing.T, group *v1alpha1.Group, namespace, name string, when *metav1.Time, change func(*v1alpha1.KeyRequestSpec)) *v1alpha1.KeyRequestReview {
	t.Helper()
	request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name,
		Annotations: map[string]string{v1alpha1.AnnotationCreatedBy: "joe@shop.example"}}}
	request.Spec.GroupRef = v1alpha1.GroupReference{Namespace: group.Namespace, Name: group.Name}
	request.Spec.Projects, request.Spec.UseCase = []v1alpha1.ProjectName{"marketing"}, "The shop shows scenes"
	change(&request.Spec)
	if err := admin.Create(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	review := keyrequest.NewReview(request, group)
	review.Spec.Request.At = *when
	if err := admin.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review
}

func plainly(*v1alpha1.KeyRequestSpec) {}

// owned creates a Group in a namespace of its own, and another namespace where keys of it are asked for.
func owned(t *testing.T, name string) (group *v1alpha1.Group, asks string) {
	t.Helper()
	namespace(t, name)
	namespace(t, name+"-asks")
	month(t, name, "acme", func(*v1alpha1.Group) {})
	group = &v1alpha1.Group{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: name, Name: "acme"}, group); err != nil {
		t.Fatal(err)
	}
	return group, name + "-asks"
}

func TestRequest(t *testing.T) {
	_, asks := owned(t, "requested")
	ask := func(more ...string) result {
		t.Helper()
		return keyward(t, "", append([]string{"request", "-n", asks, "requested/acme"}, more...)...)
	}
	enough := []string{"--project", "marketing", "--use-case", "The shop shows scenes"}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no project":        {[]string{"--use-case", "The shop"}, "--project: name at least one"},
		"no use case":       {[]string{"--project", "marketing"}, "--use-case: say what the key is for"},
		"a long use case":   {[]string{"--project", "marketing", "--use-case", strings.Repeat("é", 501)}, "--use-case: write at most 500 characters"},
		"no lifetime":       {append(enough, "--lifetime", "soon"), "--lifetime: write a duration such as 90d"},
		"a short lifetime":  {append(enough, "--lifetime", "0s"), "--lifetime: write a duration such as 90d"},
		"no name":           {append([]string{"A_b"}, enough...), "no KeyRequest can have such a name"},
		"an escape":         {[]string{"--project", "marketing", "--use-case", "The shop\x1b[2J"}, "--use-case: this has control characters"},
		"no project's name": {[]string{"--project", "a_b", "--use-case", "The shop"}, "--project: this is no name"},
	} {
		t.Run(name, func(t *testing.T) { ask(test.args...).expect(t, ExitUsage, test.want).lacks(t, "_b") })
	}
	t.Run("a key in the use case", func(t *testing.T) {
		key := mint(t, 77).Reveal()
		ask("--project", "marketing", "--use-case", "as with "+key).expect(t, ExitUsage, "this has a key").lacks(t, key)
	})
	keyward(t, "", append([]string{"request", "-n", asks, "a/b/c"}, enough...)...).expect(t, ExitUsage, "write NAME or NAMESPACE/NAME")

	whole := append([]string{"web", "--permission", "read,checkout", "--lifetime", "90d"}, enough...)
	r := ask(append(whole, "--dry-run", "-o", "yaml")...)
	r.golden(t, "request-dry-run")
	if r := ask(append(whole, "--dry-run")...); !strings.HasPrefix(r.out, "apiVersion: keyward.dev/v1alpha1\n") {
		t.Errorf("%+v", r)
	}
	request := &v1alpha1.KeyRequest{}
	if err := admin.Get(t.Context(), keyOf(asks, "web"), request); err == nil {
		t.Error("a dry run has created a KeyRequest")
	}
	manifest := &v1alpha1.KeyRequest{}
	if err := yaml.UnmarshalStrict([]byte(r.out), manifest); err != nil {
		t.Fatal(err)
	}
	if err := admin.Create(t.Context(), manifest, client.DryRunAll); err != nil {
		t.Errorf("what is printed cannot be applied: %v", err)
	}

	ask(whole...).golden(t, "request")
	if err := admin.Get(t.Context(), keyOf(asks, "web"), request); err != nil || request.Spec.Lifetime != "90d" || len(request.Spec.Permissions) != 2 ||
		request.Spec.GroupRef != (v1alpha1.GroupReference{Namespace: "requested", Name: "acme"}) || request.Spec.UseCase != "The shop shows scenes" {
		t.Errorf("%v %+v", err, request.Spec)
	}
	ask(whole...).expect(t, ExitRefused, "there is a KeyRequest requested-asks/web", "write another NAME")
	if done := read[requestDone](t, ask(append(enough, "-o", "json")...)); done.Request.Name != "acme" || done.Request.State != v1alpha1.KeyRequestPending {
		t.Errorf("%+v", done)
	}
	keyward(t, "", "requests", "-n", asks, "--mine").expect(t, 0, "web ", "Pending", "requested/acme")
}

func TestRequests(t *testing.T) {
	group, asks := owned(t, "deciding")
	namespace(t, "deciding-too")
	asked(t, group, asks, "web", at(-2*day), func(s *v1alpha1.KeyRequestSpec) {
		s.Permissions, s.Lifetime = []v1alpha1.PermissionName{"read", "checkout"}, "90d"
		s.UseCase = strings.Repeat("The shop shows scenes. ", 10)
	})
	first := asked(t, group, asks, "app", at(-day), plainly)
	second := asked(t, group, "deciding-too", "app", at(-day/2), plainly)
	list := func(more ...string) result {
		t.Helper()
		r := keyward(t, "", append([]string{"requests", "-n", "deciding"}, more...)...)
		for i, review := range []*v1alpha1.KeyRequestReview{first, second} { // the names are digests of UIDs
			r.out = strings.ReplaceAll(r.out, review.Name, []string{"11111111111111111111111111111111", "22222222222222222222222222222222"}[i])
		}
		return r
	}
	list().golden(t, "requests")
	if views := read[map[string][]requestView](t, list("acme", "-o", "json"))["requests"]; len(views) != 3 || len(views[0].UseCase) != 230 {
		t.Errorf("%+v", views)
	}
	list("nobody").expect(t, ExitError, "there is no Group")
	list("--mine", "--all").expect(t, ExitUsage, "leave GROUP and --all out")

	decide := func(verb, request string, more ...string) result {
		t.Helper()
		return keyward(t, "", append([]string{verb, "-n", "deciding", request}, more...)...)
	}
	decide("approve", "acme/app").expect(t, ExitRefused, "several requests have this name", first.Name+" (of namespace deciding-asks)", second.Name)
	decide("approve", "acme/nothing").expect(t, ExitError, "there is no such request", "kubectl keyward requests --all")
	decide("approve", "a_b/c").expect(t, ExitUsage, "write GROUP/NAME").lacks(t, "a_b")
	decide("refuse", "acme/web").expect(t, ExitUsage, "--reason: say why")
	decide("refuse", "acme/web", "--reason", "No\x1b[2J").harmless(t).expect(t, ExitUsage, "--reason: this has control characters")
	decide("refuse", "acme/web", "--reason", strings.Repeat("x", 501)).expect(t, ExitUsage, "at most 500 characters")
	decide("withdraw", "acme/web").expect(t, ExitRefused, "only an approval can be withdrawn; refuse it")

	decide("approve", "acme/web", "--reason", "A customer").golden(t, "request-approved")
	decide("approve", "acme/web").expect(t, ExitRefused, "is Approved already")
	decide("refuse", "acme/web", "--reason", "No").expect(t, ExitRefused, "withdraw that, which revokes its key")
	decide("withdraw", "acme/web").expect(t, ExitUsage, "This cannot be undone", "add --yes")
	decide("withdraw", "acme/web", "--yes", "--reason", "It has ended").expect(t, 0, "is Withdrawn")
	decide("approve", "acme/web").expect(t, ExitRefused, "which is final")
	done := read[requestDone](t, decide("refuse", first.Name, "--reason", "Use web", "-o", "json"))
	if done.Action != "refuse" || done.Request.State != v1alpha1.KeyRequestRefused || done.Request.Review != first.Name {
		t.Errorf("%+v", done)
	}
	review := &v1alpha1.KeyRequestReview{}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(first), review); err != nil || review.Spec.Decision == nil || review.Spec.Decision.Reason != "Use web" {
		t.Errorf("%v %+v", err, review.Spec)
	}
	list().expect(t, 0, "deciding-too").lacks(t, "deciding-asks")
	list("--all").expect(t, 0, "Withdrawn", "Refused", "Pending")
	complete := func(args ...string) string {
		return keywardRaw(t, append([]string{"__complete", "--kubeconfig", kubeconfig, "-n", "deciding"}, args...)...).out
	}
	if got := complete("approve", ""); !strings.HasPrefix(got, second.Name+"\tThe shop shows scenes\n") || strings.Contains(got, first.Name) {
		t.Errorf("completed: %q", got)
	}
	if got := complete("withdraw", ""); got != ":4\n" {
		t.Errorf("completed: %q", got)
	}
}

// TestRequestsOfWhoMayNotDecide: who sees reviews reads that others decide, and who sees none has their own requests.
func TestRequestsOfWhoMayNotDecide(t *testing.T) {
	group, asks := owned(t, "watched")
	asked(t, group, asks, "web", at(-day), plainly)
	may := func(namespace, user string, rules ...rbacv1.PolicyRule) {
		t.Helper()
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user}, Rules: rules}
		binding := &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}}
		for _, object := range []client.Object{role, binding} {
			if err := rights(t).Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
	}
	rule := func(resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, Verbs: verbs}
	}
	may("watched", "viewer", rule("keyrequestreviews", "get", "list"), rule("groups", "get", "list"))
	may(asks, "joe", rule("keyrequests", "get", "list", "create"))
	eventually(t, "the rights are known", func() bool {
		return keyward(t, "", "requests", "-n", "watched", "--as", "viewer").code == 0 && keyward(t, "", "requests", "-n", asks, "--mine", "--as", "joe").code == 0
	})
	keyward(t, "", "requests", "-n", "watched", "--as", "viewer").expect(t, 0, "acme/web", "! You may not decide about keys of Group watched/acme")
	keyward(t, "", "requests", "-n", "watched").expect(t, 0, "acme/web").lacks(t, "You may not decide")
	keyward(t, "", "approve", "-n", "watched", "acme/web", "--as", "viewer").expect(t, ExitError, "ask an admin of the namespace")
	keyward(t, "", "requests", "-n", asks, "--as", "joe").expect(t, 0, "these are the requests that were made in it", "watched/acme")
	keyward(t, "", "requests", "-n", asks).expect(t, 0, "these are the requests that were made in it", "watched/acme")
	keyward(t, "", "requests", "-n", "watched", "--as", "nobody").expect(t, ExitError, "ask an admin")
}

// TestADecisionIsAboutWhatWasRead: a review that changed after it was read is not decided about.
func TestADecisionIsAboutWhatWasRead(t *testing.T) {
	group, asks := owned(t, "changing")
	review := asked(t, group, asks, "web", at(-day), plainly)
	stale := review.DeepCopy()
	review.Labels = map[string]string{"team": "web"}
	if err := admin.Update(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	a := &app{streams: genericiooptions.IOStreams{Out: &out, ErrOut: &out}, now: time.Now}
	s := &session{WithWatch: admin, namespace: "changing"}
	err := a.decide(t.Context(), s, stale, "approve", &deciding{verdict: v1alpha1.VerdictApproved})
	if line, code := explainError(err); !apierrors.IsConflict(err) || code != ExitError || !strings.Contains(line, "try again") || out.Len() > 0 {
		t.Errorf("%v: %s", err, out.String())
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(review), review); err != nil || review.Spec.Decision != nil {
		t.Errorf("%v %+v", err, review.Spec.Decision)
	}
}

// TestTextsOfRequestsAreOnlyTexts: neither who asks nor who decides gives orders to the other's terminal.
func TestTextsOfRequestsAreOnlyTexts(t *testing.T) {
	group, asks := owned(t, "hostile-requests")
	accepted := strings.Map(func(r rune) rune { // by the schema
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, hostile)
	review := asked(t, group, asks, "web", at(-day), func(s *v1alpha1.KeyRequestSpec) { s.UseCase = accepted })
	request := &v1alpha1.KeyRequest{}
	if err := admin.Get(t.Context(), keyOf(asks, "web"), request); err != nil {
		t.Fatal(err)
	}
	request.Status.State = v1alpha1.KeyRequestPending
	request.Status.Decided = []v1alpha1.Decided{{Verdict: v1alpha1.VerdictRefused, Reason: hostile, By: hostile, At: *at(0)}}
	request.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRequestRefused,
		Message: hostile, LastTransitionTime: *at(0)}}
	if err := admin.Status().Update(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	of := []string{"-n", group.Namespace}
	completed := append([]string{"__complete", "--kubeconfig", kubeconfig, "approve"}, append(of, "")...)
	r := keywardRaw(t, completed...)
	value, description, _ := strings.Cut(r.out, "\t") // as shells read it
	if r.out = description; value != "acme/web" || !strings.HasPrefix(r.harmless(t).out, "x") {
		t.Errorf("%q %+v", value, r)
	}
	for _, args := range [][]string{
		append([]string{"requests"}, of...), append([]string{"requests", "-o", "json"}, of...), {"requests", "--mine", "-n", asks},
		{"requests", "--mine", "-n", asks, "-o", "yaml"},
		append([]string{"approve", "acme/web", "--reason", accepted}, of...), append([]string{"withdraw", review.Name, "--yes", "-o", "json"}, of...),
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if r := keyward(t, "", args...).harmless(t); !strings.Contains(r.out, "FORGED") {
				t.Errorf("it does not say what the object does: %+v", r)
			}
		})
	}
}
