package cluster_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

// cell is a request to a route, and what of the table of roles it needs.
type cell struct {
	route string // as the console serves it
	needs role.Operation
	form  url.Values
	query string // of the route
	// apart is a page that is about no Group: who does not see the Group is refused as others are.
	apart bool
	// key is the key that the path is about; nil: the path is about none.
	key func(ctx context.Context, w *testenv.World, name string)
	// answers is the status if it is allowed; 0: 200 of a page, 303 of a form.
	answers int
	// shows is a text of the page, if it is allowed. Of a form that changes nothing, it is one of the answer.
	shows string
	// done reports whether it has its effect; nil: it has none in the API server.
	done func(ctx context.Context, w *testenv.World, name string) bool
	// button is where one is offered the request: the page, and a text of it. Without a page it is that of the form itself.
	from   string
	button string
	// offered is what one may who is offered it; empty: needs.
	offered role.Operation
	// unless is what one may who is offered another button in its place; empty: nobody is.
	unless role.Operation
}

// Paths of pages, with those of a World in place of the patterns.
const (
	ofGroup     = "/groups/{ns}/{group}"
	ofKey       = ofGroup + "/keys/{keyns}/{key}"
	ofAllowlist = ofGroup + "/allowlists/{allowns}/{allowlist}"
	ofRequest   = ofGroup + "/requests/{request}"
	ofAsked     = place.Requests + "/{askedns}/{asked}"
)

func at(w *testenv.World, pattern, key string) string {
	return strings.NewReplacer("{ns}", w.Namespace, "{group}", "acme", "{keyns}", w.Namespace, "{key}", key, "{allowns}", w.Namespace, "{allowlist}", "web",
		"{request}", key, "{askedns}", w.Namespace, "{asked}", key, "{$}", "").Replace(pattern)
}

func plain(ctx context.Context, w *testenv.World, name string) {
	w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = name })
}

func suspended(ctx context.Context, w *testenv.World, name string) {
	w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name, k.Spec.Suspended = name, ptr.To(true) })
}

func unclaimed(ctx context.Context, w *testenv.World, name string) {
	GinkgoHelper()
	w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name, k.Spec.Secret.Reveal = name, v1alpha1.RevealOnce })
	w.ReconcileUntil(ctx, name, testenv.Ready)
}

// undecided is the review of a request for a key, as the manager creates it, but for its name.
func undecided(ctx context.Context, w *testenv.World, name string) {
	GinkgoHelper()
	reviewed(ctx, w, name)
}

func approved(ctx context.Context, w *testenv.World, name string) {
	GinkgoHelper()
	decided(ctx, w, reviewed(ctx, w, name), v1alpha1.VerdictApproved)
}

// asked is a request for a key of acme, in its own namespace, that somebody else has made.
func asked(ctx context.Context, w *testenv.World, name string) {
	GinkgoHelper()
	Expect(testenv.Admin.Create(ctx, newRequest(w, name))).To(Succeed())
}

func isAsked(name string) func(context.Context, *testenv.World, string) bool {
	return func(ctx context.Context, w *testenv.World, of string) bool {
		err := testenv.Admin.Get(ctx, w.Request(cmp.Or(name, of)).NamespacedName, &v1alpha1.KeyRequest{})
		Expect(client.IgnoreNotFound(err)).NotTo(HaveOccurred())
		return err == nil
	}
}

func decisionIs(verdict v1alpha1.Verdict) func(context.Context, *testenv.World, string) bool {
	return func(ctx context.Context, w *testenv.World, name string) bool {
		review := &v1alpha1.KeyRequestReview{}
		Expect(testenv.Admin.Get(ctx, w.Request(name).NamespacedName, review)).To(Succeed())
		return review.Spec.Decision != nil && review.Spec.Decision.Verdict == verdict
	}
}

func keyHas(check func(*v1alpha1.ApiKey) bool) func(context.Context, *testenv.World, string) bool {
	return func(ctx context.Context, w *testenv.World, name string) bool {
		key := &v1alpha1.ApiKey{}
		err := testenv.Admin.Get(ctx, w.Request(name).NamespacedName, key)
		Expect(client.IgnoreNotFound(err)).NotTo(HaveOccurred())
		return err == nil && check(key)
	}
}

func allowlistHas(domain string) func(context.Context, *testenv.World, string) bool {
	return func(ctx context.Context, w *testenv.World, _ string) bool {
		list := &v1alpha1.DomainAllowlist{}
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, list)).To(Succeed())
		return slices.Equal(list.Spec.Domains, []string{domain})
	}
}

// cells has a cell for each route of people who have signed in, and each thing that its form does.
func cells() []cell {
	newKey := url.Values{"step": {"create"}, "name": {"made"}, "projects": {"marketing"}, "permissions": {"read"}, "clients": {"Any"},
		"lifetime": {"30d"}, "reveal": {"Mounted"}}
	domains := url.Values{"step": {"save"}, "domains": {"new.acme.example"}, "projects": {"marketing"}, "missing": {"Deny"}}
	step := func(form url.Values, is string) url.Values {
		changed := url.Values{}
		for name, values := range form {
			changed[name] = values
		}
		changed.Set("step", is)
		return changed
	}
	all := []cell{
		{route: "GET " + ofGroup, needs: role.ReadKeys, shows: "Keys of acme"},
		{route: "GET " + ofGroup + "/usage", needs: role.ReadUsage, shows: "Usage of acme"},
		{route: "GET " + ofGroup + "/projects", needs: role.ReadGroups, shows: "/mkt/**"},
		{route: "GET " + ofGroup + "/log", needs: role.ReadLog, shows: "Log of acme"},
		{route: "GET " + ofGroup + "/allowlists", needs: role.ReadAllowlists, shows: ofAllowlist},
		{route: "GET " + ofAllowlist, needs: role.ReadAllowlists, shows: "www.acme.example"},
		{route: "POST " + ofAllowlist, needs: role.ReadAllowlists, form: step(domains, "check"), answers: http.StatusOK, shows: "Allowlist web", button: `value="check"`},
		{route: "POST " + ofAllowlist, needs: role.ReadAllowlists, form: step(domains, "yaml"), answers: http.StatusOK, shows: "Allowlist web",
			button: `value="yaml"`, offered: role.ChangeAllowlist},
		{route: "POST " + ofAllowlist, needs: role.ChangeAllowlist, form: domains, done: allowlistHas("new.acme.example"), button: `value="save"`},
		{route: "GET " + ofKey, needs: role.ReadKeys, key: plain, shows: "Enforcement"},
		{route: "GET " + ofKey + "/live", needs: role.ReadKeys, key: plain, shows: "event: version\ndata: "},
		{route: "GET " + ofGroup + "/new-key", needs: role.CreateKey, shows: `name="lifetime"`, from: ofGroup, button: "/new-key"},
		{route: "POST " + ofGroup + "/new-key", needs: role.CreateKey, form: step(newKey, "yaml"), answers: http.StatusOK, shows: "kind: ApiKey", button: `value="yaml"`},
		{route: "POST " + ofGroup + "/new-key", needs: role.CreateKey, form: newKey, button: `value="create"`,
			done: func(ctx context.Context, w *testenv.World, _ string) bool {
				return keyHas(func(*v1alpha1.ApiKey) bool { return true })(ctx, w, "made")
			}},
	}
	all = append(all,
		cell{route: "GET " + ofGroup + "/requests", needs: role.ReadReviews, key: undecided, shows: ofRequest, from: ofGroup, button: ofGroup + `/requests"`},
		cell{route: "GET " + ofRequest, needs: role.ReadReviews, key: undecided, shows: "The shop of {key}", from: ofGroup + "/requests", button: ofRequest},
		cell{route: "POST " + ofRequest, needs: role.DecideRequest, key: undecided, form: url.Values{"step": {"approve"}}, done: decisionIs(v1alpha1.VerdictApproved),
			button: `value="approve"`},
		cell{route: "POST " + ofRequest, needs: role.DecideRequest, key: undecided, form: url.Values{"step": {"refuse"}, "reason": {"Not now."}},
			done: decisionIs(v1alpha1.VerdictRefused), button: `value="refuse"`},
		cell{route: "POST " + ofRequest, needs: role.DecideRequest, key: approved, form: url.Values{"step": {"withdraw"}}, done: decisionIs(v1alpha1.VerdictWithdrawn),
			button: `value="withdraw"`})
	asks := url.Values{"step": {"create"}, "namespace": {"{ns}"}, "name": {"asked-for"}, "group": {"{ns}/acme"}, "projects": {"marketing"}, "permissions": {"read"},
		"useCase": {"The shop"}, "lifetime": {""}}
	const filled = "?namespace={ns}&group={ns}/acme"
	all = append(all,
		cell{route: "GET " + ofAsked, needs: role.ReadRequests, key: asked, shows: "The shop of {key}", from: place.Requests + "?search={ns}/", button: ofAsked},
		cell{route: "GET " + place.Ask, query: filled, needs: role.RequestKey, apart: true, shows: `name="useCase"`, from: ofGroup, button: place.Ask + "?", unless: role.CreateKey},
		cell{route: "POST " + place.Ask, query: filled, needs: role.RequestKey, apart: true, form: step(asks, "yaml"), answers: http.StatusOK, shows: "kind: KeyRequest",
			button: `value="yaml"`},
		cell{route: "POST " + place.Ask, query: filled, needs: role.RequestKey, apart: true, form: asks, done: isAsked("asked-for"), button: `value="create"`},
		cell{route: "GET " + ofAsked + "/delete", needs: role.DeleteRequest, key: asked, shows: "Delete {key}", from: ofAsked, button: ofAsked + `/delete"`},
		cell{route: "POST " + ofAsked + "/delete", needs: role.DeleteRequest, key: asked, button: "<button class=",
			done: func(ctx context.Context, w *testenv.World, name string) bool { return !isAsked("")(ctx, w, name) }})
	for _, one := range []struct {
		verb  string
		needs role.Operation
		form  url.Values
		key   func(context.Context, *testenv.World, string)
		done  func(*v1alpha1.ApiKey) bool
	}{
		{"rotate", role.RotateKey, url.Values{"overlap": {"24h"}}, plain, func(k *v1alpha1.ApiKey) bool { return k.Annotations[v1alpha1.AnnotationRotateRequestedAt] != "" }},
		{"suspend", role.SuspendKey, nil, plain, func(k *v1alpha1.ApiKey) bool { return ptr.Deref(k.Spec.Suspended, false) }},
		{"resume", role.ResumeKey, nil, suspended, func(k *v1alpha1.ApiKey) bool { return !ptr.Deref(k.Spec.Suspended, false) }},
		{"revoke", role.RevokeKey, url.Values{"name": {"{key}"}}, plain, func(k *v1alpha1.ApiKey) bool { return ptr.Deref(k.Spec.Revoked, false) }},
		{"claim", role.ReadSecret, nil, unclaimed, func(k *v1alpha1.ApiKey) bool { return k.Annotations[v1alpha1.AnnotationClaimedVersion] != "" }},
	} {
		post := cell{route: "POST " + ofKey + "/" + one.verb, needs: one.needs, form: one.form, key: one.key, done: keyHas(one.done), button: "<button class="}
		if one.verb == "claim" { // it answers the form itself
			post.answers, post.shows = http.StatusOK, `id="plaintext"`
		}
		all = append(all, cell{route: "GET " + ofKey + "/" + one.verb, needs: one.needs, key: one.key, shows: "{key}", from: ofKey, button: "{key}/" + one.verb + `"`}, post)
	}
	return append(all, cell{route: "GET " + place.Platform, needs: readInstallation, apart: true, shows: "keyward-manager-{ns}", from: "/", button: place.Platform + `"`})
}

// readInstallation is to read how Keyward itself is, which is not of a Group, so that the table of roles does not have it.
const readInstallation role.Operation = "read-installation"

// openRoutes are for everybody: the first are for who has not signed in, the others concern one's own session alone. TestEveryPageNeedsASession and
// others of package web are about them.
var openRoutes = []string{
	page.Prefix, "GET /sign-in", "POST /sign-in/token", "POST /sign-in/oidc", "GET /sign-in/callback", "GET /enter/{secret}",
	"POST /sign-out", "GET /sign-out", "POST /sign-out/everywhere",
	"GET /{$}", "GET " + place.Requests, // what is listed there is another spec's
}

// state has the versions of all objects that people could change in the namespace.
func state(ctx context.Context, w *testenv.World) map[string]string {
	GinkgoHelper()
	versions := map[string]string{}
	for _, list := range []client.ObjectList{&v1alpha1.GroupList{}, &v1alpha1.ApiKeyList{}, &v1alpha1.DomainAllowlistList{}, &v1alpha1.KeyRequestReviewList{}, &v1alpha1.KeyRequestList{},
		&corev1.SecretList{}} {
		Expect(testenv.Admin.List(ctx, list, client.InNamespace(w.Namespace))).To(Succeed())
		Expect(meta.EachListItem(list, func(o runtime.Object) error {
			object := o.(client.Object)
			versions[fmt.Sprintf("%T %s", o, object.GetName())] = object.GetResourceVersion()
			return nil
		})).To(Succeed())
	}
	return versions
}

// createInstallation has the namespace of the World be that of a manager, which has said how Keyward is.
func createInstallation(ctx context.Context, w *testenv.World) {
	GinkgoHelper()
	installation := &v1alpha1.Installation{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: v1alpha1.InstallationName}}
	Expect(testenv.Admin.Create(ctx, installation)).To(Succeed())
	installation.Status.Leader = "keyward-manager-" + w.Namespace
	Expect(testenv.Admin.Status().Update(ctx, installation)).To(Succeed())
}

// try sends the request of a cell as a visitor, and says what has to come of it.
func try(ctx context.Context, w *testenv.World, v *visitor, one cell, name string, who someone) {
	GinkgoHelper()
	if one.key != nil {
		one.key(ctx, w, name)
	}
	method, pattern, _ := strings.Cut(one.route, " ")
	path := at(w, pattern, name)
	v.get(at(w, ofGroup, "")) // so that the Group is chosen, for who sees it
	offered := one.needs
	if one.offered != "" {
		offered = one.offered
	}
	if one.button != "" {
		from := pattern + one.query
		if one.from != "" {
			from = one.from
		}
		offers := v.get(at(w, from, name)).Body.String()
		Expect(strings.Contains(offers, at(w, one.button, name))).To(Equal(who.may(offered) && (one.unless == "" || !who.may(one.unless))), "the button of %s: %s", one.route, offers)
	}
	before := state(ctx, w)
	form := url.Values{}
	for field, values := range one.form {
		form.Set(field, at(w, values[0], name))
	}
	answer := v.get
	if method == http.MethodPost {
		answer = func(path string) *httptest.ResponseRecorder { return v.post(path, form) }
	}
	got := answer(path + at(w, one.query, name))
	text := got.Body.String()
	if !who.may(one.needs) {
		refusal := http.StatusForbidden
		if !who.sees && !one.apart {
			refusal = http.StatusNotFound
		}
		Expect(got.Code).To(Equal(refusal), "%s: %s", one.route, text)
		Expect(state(ctx, w)).To(Equal(before), "%s was refused", one.route)
		if method == http.MethodGet { // a form that was sent is kept
			Expect(text).NotTo(ContainSubstring(`action="`+path+`"`), "%s was refused", one.route)
		}
		if !who.sees && method == http.MethodGet {
			Expect(text).NotTo(ContainSubstring("marketing"))
		}
		return
	}
	status := http.StatusOK
	if method == http.MethodPost {
		status = http.StatusSeeOther
	}
	if one.answers != 0 {
		status = one.answers
	}
	Expect(got.Code).To(Equal(status), "%s: %s", one.route, text)
	Expect(text).To(ContainSubstring(at(w, one.shows, name)), one.route)
	if one.done == nil {
		Expect(state(ctx, w)).To(Equal(before), "%s is only looked at", one.route)
		return
	}
	Expect(one.done(ctx, w, name)).To(BeTrue(), "%s has its effect", one.route)
}

var _ = Describe("The pages", func() {
	It("have each route in the matrix", func(ctx SpecContext) {
		routes := slices.Clone(openRoutes)
		for _, one := range cells() {
			if !slices.Contains(routes, one.route) {
				routes = append(routes, one.route)
			}
		}
		Expect(newConsole(testenv.NewWorld(ctx)).Routes()).To(ConsistOf(routes))
	})

	It("have each operation of the table that a Desk has", func() {
		needed := []role.Operation{role.ReadGroups}
		for _, one := range cells() {
			needed = append(needed, one.needs)
		}
		for _, o := range role.Operations() {
			Expect(slices.Contains(needed, o)).NotTo(Equal(slices.Contains(without, o)), "%s", o)
		}
	})

	for _, who := range people() {
		It("do what the table says for the "+who.name+", and nothing else", func(ctx SpecContext) {
			w := testenv.NewWorld(ctx)
			w.CreateGroup(ctx, func(g *v1alpha1.Group) {
				g.Spec.Tier, g.Spec.Limits.Keys, g.Spec.KeyPolicy.Requests = "Pro", ptr.To[int32](1000), v1alpha1.RequestsManual
			})
			Expect(testenv.Admin.Create(ctx, w.NewAllowlist())).To(Succeed())
			createInstallation(ctx, w)
			user := w.Namespace + ":" + strings.ReplaceAll(who.name, " ", "-")
			who.admit(ctx, w, user)
			v := visit(newConsole(w), user)
			Eventually(func(g Gomega) { // the API server learns of the rights a moment later
				text := v.get(at(w, ofGroup, "")).Body.String()
				g.Expect(strings.Contains(text, "Keys of acme")).To(Equal(who.sees))
				g.Expect(strings.Contains(text, "/new-key")).To(Equal(who.may(role.CreateKey)))
				g.Expect(strings.Contains(text, place.Ask+"?")).To(Equal(who.may(role.RequestKey) && !who.may(role.CreateKey)))
				g.Expect(strings.Contains(text, at(w, ofGroup+`/requests"`, ""))).To(Equal(who.may(role.ReadReviews)))
				platform := v.get(place.Platform)
				g.Expect(platform.Code == http.StatusOK).To(Equal(who.may(readInstallation)))
				g.Expect(strings.Contains(platform.Body.String(), "keyward-installation-reader")).To(Equal(!who.may(readInstallation)), "how to get there")
				if strings.HasSuffix(who.name, "reads Secrets") { // a right that no page shows
					as, _ := testenv.AsUser(user)
					review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
						ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: w.Namespace, Verb: "get", Resource: "secrets"},
					}}
					g.Expect(as.Create(ctx, review)).To(Succeed())
					g.Expect(review.Status.Allowed).To(BeTrue())
				}
			}).Should(Succeed())
			found := v.get("/?search=" + url.QueryEscape(w.Namespace+"/")).Body.String()
			Expect(strings.Contains(found, place.Group{Namespace: w.Namespace, Name: "acme"}.Of())).To(Equal(who.sees), found)
			listed := v.get("/").Body.String()
			Expect(strings.Contains(listed, place.Group{Namespace: w.Namespace, Name: "acme"}.Of())).To(Equal(who.name == "platform"), listed)
			for i, one := range cells() {
				By(one.route + " " + one.form.Get("step"))
				try(ctx, w, v, one, fmt.Sprintf("try-%d", i), who)
			}
		})
	}
})
