package v1alpha1_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("Public paths", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	newGroup := func(change func(*v1alpha1.Group)) *v1alpha1.Group {
		g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "site"}}
		change(g)
		return g
	}
	site := func(host string, public ...string) func(*v1alpha1.Group) {
		return func(g *v1alpha1.Group) {
			g.Spec.Projects = []v1alpha1.Project{{Name: "web", Routes: []v1alpha1.Route{{Hosts: []string{host}}}, Public: public}}
		}
	}

	DescribeTable("are refused where no request could match them, or they are no paths:",
		func(ctx SpecContext, path, message string) {
			Expect(testenv.Admin.Create(ctx, newGroup(site("www.acme.example", "/robots.txt", path)), client.DryRunAll)).
				To(MatchError(And(ContainSubstring("spec.projects[0].public[1]"), ContainSubstring(message))))
		},
		Entry("by the schema", "robots.txt", "should match"),
		Entry("a query", "/robots.txt?x", "should match"),
		Entry("a dot segment", "/static/../secret", "no request could match it"),
		Entry("encoded", "/static/%61", "not percent-encoded"),
		Entry("a subtree in the middle", "/**/x", "only allowed as the whole last segment"),
	)

	It("are warned of where another Group has routes for the host, and only if they change", func(ctx SpecContext) {
		other := testenv.NewWorld(ctx)
		other.CreateGroup(ctx, site("shared.acme.example"))
		alice, heard := testenv.As("alice")
		warnings := func(ask func() error) []string {
			heard.Texts = nil
			ExpectWithOffset(1, ask()).To(Succeed())
			return heard.Texts
		}
		create := func(host string) func() error {
			return func() error { return alice.Create(ctx, newGroup(site(host, "/robots.txt")), client.DryRunAll) }
		}
		Eventually(func() []string { return warnings(create("shared.acme.example")) }).
			Should(ConsistOf(ContainSubstring("another Group has routes for shared.acme.example, too")))
		Expect(heard.Texts[0]).NotTo(ContainSubstring(other.Namespace))
		Expect(warnings(create("own.acme.example"))).To(BeEmpty())

		group := w.CreateGroup(ctx, site("shared.acme.example", "/robots.txt"))
		group.Spec.DisplayName = "Another name"
		Expect(warnings(func() error { return alice.Update(ctx, group, client.DryRunAll) })).To(BeEmpty())
		group.Spec.Projects[0].Public = []string{"/health"}
		Expect(warnings(func() error { return alice.Update(ctx, group, client.DryRunAll) })).
			To(ConsistOf(ContainSubstring("another Group has routes for")))
	})
})
