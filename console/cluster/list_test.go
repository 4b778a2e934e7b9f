package cluster_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

// queryOf is what a link asks for.
func queryOf(link string) web.ListQuery {
	GinkgoHelper()
	at, err := url.Parse(link)
	Expect(err).NotTo(HaveOccurred())
	Expect(len(link)).To(BeNumerically("<", 2048))
	return web.ListQuery{Search: at.Query().Get("search"), After: at.Query().Get("after"), Order: at.Query().Get("order")}
}

// pages follows the links of a list of keys.
func pages(ctx context.Context, desk web.Desk, w *testenv.World, query web.ListQuery) (names []string, sizes []int) {
	GinkgoHelper()
	for {
		found, err := desk.Keys(ctx, acme(w), query)
		Expect(err).NotTo(HaveOccurred())
		for _, key := range found.Keys {
			names = append(names, key.Name)
		}
		sizes = append(sizes, len(found.Keys))
		if found.Next == "" {
			return names, sizes
		}
		Expect(len(sizes)).To(BeNumerically("<", 50))
		Expect(found.Next).To(HavePrefix(acme(w).Of() + "?"))
		query = queryOf(found.Next)
	}
}

func namesOf(groups []page.Group) (names []string) {
	for _, group := range groups {
		names = append(names, group.Name)
	}
	return names
}

var _ = Describe("Lists", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = ptr.To[int32](1000) })
	})

	It("have the keys of a Group in pages, and not those of others between them", func(ctx SpecContext) {
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Name, g.Spec.Limits.Keys = "other", ptr.To[int32](1000) })
		var want []string
		for i := range 230 {
			name := fmt.Sprintf("key-%03d", i)
			of := "acme"
			if i%3 == 0 {
				of = "other"
			} else {
				want = append(want, name)
			}
			w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name, k.Spec.GroupRef.Name = name, of })
		}
		viewer := join(ctx, w, role.Viewer)
		names, sizes := pages(ctx, viewer, w, web.ListQuery{})
		Expect(names).To(Equal(want))
		Expect(sizes).To(Equal([]int{100, 53}))

		By("searching")
		names, _ = pages(ctx, viewer, w, web.ListQuery{Search: " KEY-20 "})
		Expect(names).To(Equal([]string{"key-200", "key-202", "key-203", "key-205", "key-206", "key-208", "key-209"}))
		names, _ = pages(ctx, viewer, w, web.ListQuery{Search: "no-such"})
		Expect(names).To(BeEmpty())

		By("following links that somebody has changed")
		first, err := viewer.Keys(ctx, acme(w), web.ListQuery{})
		Expect(err).NotTo(HaveOccurred())
		after := queryOf(first.Next).After
		for _, text := range []string{"x", "e30x", strings.Repeat("A", 4096), after[:len(after)-4], after + "AAAA", "eyJuIjoia3ViZS1zeXN0ZW0iLCJjIjoieCJ9"} {
			_, err := viewer.Keys(ctx, acme(w), web.ListQuery{After: text})
			Expect(err).To(MatchError(web.ErrNotFound), "%s", text)
		}
	})

	It("have the keys of other namespaces if the person may list those", func(ctx SpecContext) {
		other := testenv.NewWorld(ctx)
		testenv.Edit(ctx, &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}, func(g *v1alpha1.Group) {
			g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll
		})
		w.CreateKey(ctx)
		other.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name, k.Spec.GroupRef.Namespace = "far", w.Namespace })
		viewer := join(ctx, w, role.Viewer)
		names, _ := pages(ctx, viewer, w, web.ListQuery{})
		Expect(names).To(Equal([]string{"web"}))
		for _, query := range []web.ListQuery{{}, {Search: "we"}, {Order: "newest"}, {Search: "we", Order: "newest"}} {
			part, err := viewer.Keys(ctx, acme(w), query)
			Expect(err).NotTo(HaveOccurred())
			Expect(part.Within).To(Equal(w.Namespace), "%+v: these are not all", query)
		}

		testenv.Edit(ctx, &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}, func(g *v1alpha1.Group) {
			g.Spec.AllowlistsFrom.From = v1alpha1.NamespacesFromAll
		})
		allowlists, err := viewer.Allowlists(ctx, acme(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(allowlists.Within).To(Equal(w.Namespace))

		By("of a Group of the same name in another namespace")
		other.CreateGroup(ctx)
		other.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = "theirs" })

		platform := deskOf(w, "platform:"+w.Namespace)
		Expect(testenv.Admin.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "keyward-view"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "platform:" + w.Namespace}},
		})).To(Succeed())
		Eventually(func(g Gomega) {
			found, err := platform.Keys(ctx, acme(w), web.ListQuery{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found.Keys).To(HaveLen(2))
		}).Should(Succeed())
		for query, want := range map[web.ListQuery]int{{Search: "e"}: 1, {Search: "far"}: 1, {Order: "newest"}: 2, {Order: "newest", Search: "far"}: 1} {
			all, err := platform.Keys(ctx, acme(w), query)
			Expect(err).NotTo(HaveOccurred())
			Expect(all.Within).To(BeEmpty(), "%+v", query)
			names, _ := pages(ctx, platform, w, query) // of the names that match, those of the other Groups leave room on a page
			Expect(names).To(HaveLen(want), "%+v", query)
		}

		By("listing the Groups of the whole cluster")
		found, err := platform.Groups(ctx, web.ListQuery{Search: "acm"})
		Expect(err).NotTo(HaveOccurred())
		Expect(namesOf(found.Groups)).To(ContainElement(w.Namespace + "/acme"))
		Expect(found.Named).To(BeFalse())
	})

	It("have the Groups of the namespaces that are configured, or named", func(ctx SpecContext) {
		foreign := testenv.NewWorld(ctx)
		foreign.CreateGroup(ctx)
		viewer := join(ctx, w, role.Viewer, foreign.Namespace, w.Namespace, "no-such")
		found, err := viewer.Groups(ctx, web.ListQuery{})
		Expect(err).NotTo(HaveOccurred())
		Expect(namesOf(found.Groups)).To(Equal([]string{w.Namespace + "/acme"}))
		Expect(found.Named).To(BeTrue())
		for search, want := range map[string][]string{
			w.Namespace + "/": {"acme"}, w.Namespace + "/cm": {"acme"}, w.Namespace + "/x": nil, foreign.Namespace + "/": nil, "cm": {w.Namespace + "/acme"}, "x": nil,
		} {
			found, err := viewer.Groups(ctx, web.ListQuery{Search: search})
			Expect(err).NotTo(HaveOccurred())
			Expect(namesOf(found.Groups)).To(Equal(want), search)
		}
		found, err = viewer.Groups(ctx, web.ListQuery{Search: "../x/"})
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Search.Error).NotTo(BeEmpty())
	})
})
