package cluster_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/keyrequest"
	"github.com/keyward-dev/keyward/internal/role"
)

// newRequest is a request for a key of acme, in its own namespace.
func newRequest(w *testenv.World, name string) *v1alpha1.KeyRequest {
	request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
	request.Spec = v1alpha1.KeyRequestSpec{
		GroupRef: v1alpha1.GroupReference{Name: "acme"}, Projects: []v1alpha1.ProjectName{"marketing"}, UseCase: "The shop of " + name,
	}
	return request
}

// filledIn is the form for a request in a namespace, for a key of acme of another.
func filledIn(shop, of *testenv.World, change ...func(url.Values)) url.Values {
	form := url.Values{"step": {"create"}, "namespace": {shop.Namespace}, "name": {"web"}, "group": {of.Namespace + "/acme"}, "projects": {"marketing"},
		"permissions": {"read"}, "useCase": {"The <b>shop</b> shows scenes"}, "lifetime": {"30d"}}
	for _, f := range change {
		f(form)
	}
	return form
}

// accepting has a Group accept requests from all namespaces.
func accepting(mode v1alpha1.RequestMode) func(*v1alpha1.Group) {
	return func(g *v1alpha1.Group) {
		g.Spec.KeyPolicy.Requests, g.Spec.AllowedNamespaces.From = mode, v1alpha1.NamespacesFromAll
	}
}

// requester is somebody who may ask in the namespace and nothing else, and the browser of that person.
func requester(ctx context.Context, shop *testenv.World) (string, *visitor) {
	GinkgoHelper()
	user := shop.Namespace + ":ben"
	bind(ctx, shop, user, "keyward-requester")
	v := visit(newConsole(shop), user)
	Eventually(func() int { return v.get(place.AskIn(shop.Namespace, place.Group{})).Code }).Should(Equal(http.StatusOK))
	return user, v
}

// decide decides about a request as somebody who may.
func decide(ctx context.Context, of *testenv.World, request *v1alpha1.KeyRequest, verdict v1alpha1.Verdict) {
	GinkgoHelper()
	group, review := &v1alpha1.Group{}, &v1alpha1.KeyRequestReview{}
	Expect(testenv.Admin.Get(ctx, of.Request("acme").NamespacedName, group)).To(Succeed())
	name := of.Request(keyrequest.ReviewName(request.UID, group.UID)).NamespacedName
	Expect(testenv.Admin.Get(ctx, name, review)).To(Succeed())
	decided(ctx, of, review, verdict)
}

var _ = Describe("Asking for a key", func() {
	var shop, owner *testenv.World
	BeforeEach(func(ctx SpecContext) {
		shop, owner = testenv.NewWorld(ctx), testenv.NewWorld(ctx)
	})

	read := func(ctx context.Context) *v1alpha1.KeyRequest {
		GinkgoHelper()
		request := &v1alpha1.KeyRequest{}
		Expect(testenv.Admin.Get(ctx, shop.Request("web").NamespacedName, request)).To(Succeed())
		return request
	}
	// reconciled is the request in a state, after the manager has looked at it.
	reconciled := func(ctx context.Context, state v1alpha1.KeyRequestState, reason string) *v1alpha1.KeyRequest {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			_, err := shop.ReconcileRequest(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			request := read(ctx)
			g.Expect(request.Status.State).To(Equal(state))
			g.Expect(request.Status.Conditions).To(ContainElement(And(HaveField("Type", v1alpha1.ConditionReady), HaveField("Reason", reason))))
		}).Should(Succeed())
		return read(ctx)
	}

	It("is done as the person, who sees what becomes of it, and neither Group nor ApiKey", func(ctx SpecContext) {
		owner.CreateGroup(ctx, accepting(v1alpha1.RequestsManual))
		user, v := requester(ctx, shop)
		got := v.post(place.Ask, filledIn(shop, owner))
		Expect(got.Code).To(Equal(http.StatusSeeOther), got.Body.String())
		at := place.Request{Namespace: shop.Namespace, Name: "web"}
		Expect(got.Header().Get("Location")).To(Equal(at.Of()))
		request := read(ctx)
		Expect(request.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCreatedBy, user))
		Expect(request.ManagedFields).To(ContainElement(HaveField("Manager", "keyward-console")))
		Expect(request.Spec).To(Equal(v1alpha1.KeyRequestSpec{
			GroupRef: v1alpha1.GroupReference{Namespace: owner.Namespace, Name: "acme"}, Projects: []v1alpha1.ProjectName{"marketing"},
			Permissions: []v1alpha1.PermissionName{"read"}, UseCase: "The <b>shop</b> shows scenes", Lifetime: "30d",
		}))

		By("waiting")
		reconciled(ctx, v1alpha1.KeyRequestPending, v1alpha1.ReasonUndecided)
		Expect(v.get(at.Of()).Body.String()).To(And(ContainSubstring(">Pending<"), ContainSubstring("The &lt;b&gt;shop&lt;/b&gt; shows scenes"), ContainSubstring(user),
			ContainSubstring("<dd>"+owner.Namespace+"/acme</dd>"), Not(ContainSubstring("Use it")), ContainSubstring(at.Of("delete"))))
		Expect(v.get(place.RequestsIn(shop.Namespace)).Body.String()).To(And(ContainSubstring(at.Of()), ContainSubstring(place.AskIn(shop.Namespace, place.Group{}))))

		By("approved: the key is there")
		decide(ctx, owner, request, v1alpha1.VerdictApproved)
		reconciled(ctx, v1alpha1.KeyRequestIssued, v1alpha1.ReasonReady)
		Expect(v.get(at.Of()).Body.String()).To(And(ContainSubstring(">Issued<"), ContainSubstring("olga"), ContainSubstring("&lt;b&gt;We know them"),
			ContainSubstring("Secret <code>web</code>"), Not(ContainSubstring("/keys/"))))

		By("with links for who may see the Group and the ApiKey")
		bind(ctx, owner, user, "keyward-view")
		bind(ctx, shop, user, "keyward-view")
		Eventually(func() string { return v.get(at.Of()).Body.String() }).Should(And(
			ContainSubstring(`href="`+place.Key{Group: acme(owner), Namespace: shop.Namespace, Name: "web"}.Of()+`"`), ContainSubstring(`href="`+acme(owner).Of()+`"`)))

		By("withdrawn")
		decide(ctx, owner, request, v1alpha1.VerdictWithdrawn)
		reconciled(ctx, v1alpha1.KeyRequestWithdrawn, v1alpha1.ReasonApprovalWithdrawn)
		Expect(v.get(at.Of()).Body.String()).To(And(ContainSubstring(">Withdrawn<"), Not(ContainSubstring("Use it"))))
	})

	It("of a Group that does not accept it is done, and its status says so", func(ctx SpecContext) {
		owner.CreateGroup(ctx)
		_, v := requester(ctx, shop)
		for name, group := range map[string]string{"of-acme": owner.Namespace + "/acme", "of-none": owner.Namespace + "/none", "of-nowhere": "acme"} {
			got := v.post(place.Ask, filledIn(shop, owner, func(f url.Values) { f.Set("name", name); f.Set("group", group) }))
			Expect(got.Code).To(Equal(http.StatusSeeOther), got.Body.String())
			Eventually(func() string {
				_, err := shop.ReconcileRequest(ctx, name)
				Expect(err).NotTo(HaveOccurred())
				return v.get(place.Request{Namespace: shop.Namespace, Name: name}.Of()).Body.String()
			}).Should(And(ContainSubstring(">Pending<"), ContainSubstring("accepts requests for keys from this namespace")), group)
		}
	})

	It("is refused to who has no right, with all that was typed", func(ctx SpecContext) {
		owner.CreateGroup(ctx)
		_, v := requester(ctx, shop)
		got := v.get(place.AskIn(owner.Namespace, acme(owner)))
		Expect(got.Code).To(Equal(http.StatusForbidden))
		Expect(got.Body.String()).To(And(ContainSubstring("You may not do this: ask for keys in the namespace "+owner.Namespace), Not(ContainSubstring("<textarea"))))
		got = v.post(place.Ask, filledIn(owner, owner))
		Expect(got.Code).To(Equal(http.StatusForbidden))
		Expect(got.Body.String()).To(And(ContainSubstring("You may not do this: "), ContainSubstring("needs the right to create KeyRequests there"), ContainSubstring(`value="web"`),
			ContainSubstring("\nmarketing</textarea>"), ContainSubstring("The &lt;b&gt;shop&lt;/b&gt; shows scenes</textarea>"), ContainSubstring(`value="30d"`)))
		Expect(client.IgnoreNotFound(testenv.Admin.Get(ctx, owner.Request("web").NamespacedName, &v1alpha1.KeyRequest{}))).To(Succeed())
		Expect(isAsked("web")(ctx, owner, "")).To(BeFalse())
	})

	It("is refused to who could not see what becomes of it", func(ctx SpecContext) {
		_, v := requester(ctx, shop)
		user := shop.Namespace + ":blind"
		creates := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: "creates"},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"keyrequests"}, Verbs: []string{"create"}}}}
		Expect(testenv.Admin.Create(ctx, creates)).To(Succeed())
		Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: "creates"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "creates"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}})).To(Succeed())
		Eventually(func() string {
			return visit(newConsole(shop), user).get(place.AskIn(shop.Namespace, place.Group{})).Body.String()
		}).
			Should(ContainSubstring("needs the right to get KeyRequests there, too"))
		got := visit(newConsole(shop), user).post(place.Ask, filledIn(shop, owner))
		Expect(got.Code).To(Equal(http.StatusForbidden), got.Body.String())
		Expect(isAsked("web")(ctx, shop, "")).To(BeFalse())
		Expect(v.post(place.Ask, filledIn(shop, owner)).Code).To(Equal(http.StatusSeeOther))
	})

	It("is shown as YAML without what would be refused", func(ctx SpecContext) {
		_, v := requester(ctx, shop)
		yaml := func(change func(url.Values)) *httptest.ResponseRecorder {
			return v.post(place.Ask, filledIn(shop, owner, func(f url.Values) { f.Set("step", "yaml"); change(f) }))
		}
		Expect(yaml(func(f url.Values) { f.Del("useCase"); f.Del("name"); f.Del("projects") }).Body.String()).To(ContainSubstring("kind: KeyRequest"), "as far as it is filled in")
		key, err := keyformat.Mint("kw", rand.Reader)
		Expect(err).NotTo(HaveOccurred())
		for field, value := range map[string]string{"useCase": "The shop has " + key.Reveal(), "projects": "not a name", "group": "a/b/c", "lifetime": "soon"} {
			got := yaml(func(f url.Values) { f.Set(field, value) })
			Expect(got.Code).To(Equal(http.StatusUnprocessableEntity), field)
			Expect(got.Body.String()).To(And(ContainSubstring(`id="`+field+`-error"`), Not(ContainSubstring("kind: KeyRequest"))), field)
		}
	})

	It("says what admission and the API server refuse, at the form", func(ctx SpecContext) {
		_, v := requester(ctx, shop)
		asked(ctx, shop, "web")
		got := v.post(place.Ask, filledIn(shop, owner))
		Expect(got.Code).To(Equal(http.StatusUnprocessableEntity))
		Expect(got.Body.String()).To(ContainSubstring(`id="name-error">This name is taken.`))
		for i := range keyrequest.MaxUndecided - 1 {
			asked(ctx, shop, fmt.Sprintf("other-%d", i))
		}
		By("also beyond the bounds") // as soon as the cache of admission has them
		Eventually(func(g Gomega) {
			beyond := v.post(place.Ask, filledIn(shop, owner, func(f url.Values) { f.Set("name", "beyond") }))
			if beyond.Code == http.StatusSeeOther {
				Expect(testenv.Admin.Delete(ctx, newRequest(shop, "beyond"))).To(Succeed())
			}
			g.Expect(beyond.Code).To(Equal(http.StatusUnprocessableEntity))
			g.Expect(beyond.Body.String()).To(And(ContainSubstring("nobody has decided about 20 older requests"), ContainSubstring(`value="beyond"`), ContainSubstring("shows scenes</textarea>")))
		}).Should(Succeed())

		By("also to who may ask everywhere, of a namespace that does not exist")
		user := shop.Namespace + ":everywhere"
		Expect(testenv.Admin.Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: shop.Namespace + "-requester"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "keyward-requester"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}})).To(Succeed())
		every := visit(newConsole(shop), user)
		Eventually(func(g Gomega) {
			none := every.post(place.Ask, filledIn(shop, owner, func(f url.Values) { f.Set("namespace", "not-there") }))
			g.Expect(none.Code).To(Equal(http.StatusUnprocessableEntity), none.Body.String())
			g.Expect(none.Body.String()).To(And(ContainSubstring("There is no such namespace."), ContainSubstring("shows scenes</textarea>")))
		}).Should(Succeed())
		Expect(every.get(place.Requests).Body.String()).To(And(ContainSubstring(shop.Namespace+"/other-1"), ContainSubstring(`href="/ask"`)))
	})

	It("offers what the Group has to who may see it", func(ctx SpecContext) {
		owner.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsManual })
		user := owner.Namespace + ":viewer"
		bind(ctx, owner, user, "keyward-requester")
		viewer := join(ctx, owner, role.Viewer)
		var form web.EnteredRequest
		form.Namespace, form.Group = owner.Namespace, acme(owner).String()
		shown, err := viewer.NewRequest(ctx, form, false)
		Expect(err).NotTo(HaveOccurred())
		Expect(shown.Projects.Of).To(ContainElement(HaveField("Value", "marketing")))
		Expect(shown.Lifetime.Of).To(ContainElement(And(HaveField("Value", ""), HaveField("Chosen", true), HaveField("Recommended", true))))
		keys, err := viewer.Keys(ctx, acme(owner), web.ListQuery{})
		Expect(err).NotTo(HaveOccurred())
		Expect(keys.Ask).To(Equal(place.AskIn(owner.Namespace, acme(owner))))
		form.Name, form.Projects, form.Permissions, form.UseCase = "web", []string{"none-such"}, []string{"read"}, "The shop"
		_, err = viewer.CreateRequest(ctx, form)
		var invalid *web.InvalidError
		Expect(err).To(BeAssignableToTypeOf(invalid))
		Expect(isAsked("web")(ctx, owner, "")).To(BeFalse())

		By("and no button while the Group accepts no requests")
		group := &v1alpha1.Group{}
		Expect(testenv.Admin.Get(ctx, owner.Request("acme").NamespacedName, group)).To(Succeed())
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsOff })
		keys, err = viewer.Keys(ctx, acme(owner), web.ListQuery{})
		Expect(err).NotTo(HaveOccurred())
		Expect(keys.Ask).To(BeEmpty())
		shown, err = viewer.NewRequest(ctx, web.EnteredRequest{Namespace: owner.Namespace, Group: "acme"}, false)
		Expect(err).NotTo(HaveOccurred())
		Expect(shown.Note).To(ContainSubstring("accepts no requests"))
	})

	It("is taken back by deleting the request: with the name of its key, if it has one", func(ctx SpecContext) {
		owner.CreateGroup(ctx, accepting(v1alpha1.RequestsAutomatic))
		_, v := requester(ctx, shop)
		at := place.Request{Namespace: shop.Namespace, Name: "web"}
		Expect(v.post(place.Ask, filledIn(shop, owner)).Code).To(Equal(http.StatusSeeOther))
		Expect(v.get(at.Of("delete")).Body.String()).To(And(ContainSubstring("Nobody decides about it any more"), Not(ContainSubstring(`name="name"`))))
		reconciled(ctx, v1alpha1.KeyRequestIssued, v1alpha1.ReasonReady)
		for _, typed := range []string{"", "wbe"} { // also from a page that was loaded before
			got := v.post(at.Of("delete"), url.Values{"name": {typed}})
			Expect(got.Code).To(Equal(http.StatusUnprocessableEntity))
			Expect(got.Body.String()).To(And(ContainSubstring("This is not its name."), ContainSubstring("which revokes it")))
		}
		Expect(isAsked("web")(ctx, shop, "")).To(BeTrue())
		got := v.post(at.Of("delete"), url.Values{"name": {"web"}})
		Expect(got.Code).To(Equal(http.StatusSeeOther), got.Body.String())
		Expect(got.Header().Get("Location")).To(Equal(place.RequestsIn(shop.Namespace)))
		Expect(isAsked("web")(ctx, shop, "")).To(BeFalse())
		Expect(v.get(at.Of()).Code).To(Equal(http.StatusNotFound))
	})

	It("is not taken back if it has changed between the reading and the deletion", func(ctx SpecContext) {
		user, _ := requester(ctx, shop)
		asked(ctx, shop, "web")
		config := rest.CopyConfig(testenv.Config)
		config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodDelete {
					reconciled(ctx, v1alpha1.KeyRequestPending, v1alpha1.ReasonGroupNotFound)
				}
				return next.RoundTrip(r)
			})
		})
		desk, err := cluster.New(person.New(user, nil, config), cluster.Options{Now: shop.Clock.Now})
		Expect(err).NotTo(HaveOccurred())
		Expect(desk.DeleteRequest(ctx, place.Request{Namespace: shop.Namespace, Name: "web"}, "")).To(MatchError(web.ErrConflict))
		Expect(isAsked("web")(ctx, shop, "")).To(BeTrue())
	})

	It("is listed in the namespaces that one may see, and no other", func(ctx SpecContext) {
		asked(ctx, shop, "web")
		asked(ctx, owner, "secret-shop")
		user, v := requester(ctx, shop)
		Expect(v.get("/").Body.String()).To(ContainSubstring(`href="/requests"`))
		for path, shows := range map[string]bool{
			place.RequestsIn(shop.Namespace): true, place.RequestsIn(shop.Namespace) + "we": true, place.RequestsIn(shop.Namespace) + "none": false,
			place.RequestsIn(owner.Namespace): false, place.Requests: false, place.Requests + "?search=Shop%2F": false,
		} {
			got := v.get(path)
			Expect(got.Code).To(Equal(http.StatusOK), path)
			link := ContainSubstring(place.Request{Namespace: shop.Namespace, Name: "web"}.Of())
			if !shows {
				link = Not(link)
			}
			Expect(got.Body.String()).To(And(link, Not(ContainSubstring("secret-shop"))), path)
		}
		configured, err := deskOf(shop, user, owner.Namespace, shop.Namespace).OwnRequests(ctx, web.ListQuery{})
		Expect(err).NotTo(HaveOccurred())
		Expect(configured.Named).To(BeTrue())
		Expect(configured.Requests).To(HaveExactElements(HaveField("Name", "web")))
		for _, of := range []place.Request{{Namespace: owner.Namespace, Name: "secret-shop"}, {Namespace: shop.Namespace, Name: "none"}, {Namespace: shop.Namespace, Name: "../web"}} {
			_, err := deskOf(shop, user).OwnRequest(ctx, of)
			Expect(err).To(MatchError(web.ErrNotFound), "%+v", of)
		}
		_, err = deskOf(shop, user).OwnRequests(ctx, web.ListQuery{After: "x"})
		Expect(err).To(MatchError(web.ErrNotFound))
	})
})
