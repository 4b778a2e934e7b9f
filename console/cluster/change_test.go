package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/role"
	"github.com/keyward-dev/keyward/internal/specchange"
)

// fieldsOf returns what an error says of the fields of a form.
func fieldsOf(err error) map[string]string {
	GinkgoHelper()
	var is *web.InvalidError
	Expect(errors.As(err, &is)).To(BeTrue(), "%v", err)
	return is.Fields
}

var _ = Describe("Changes", func() {
	var (
		w     *testenv.World
		admin web.Desk
	)
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Limits.Keys, g.Spec.KeyPolicy.MaxLifetime = ptr.To[int32](5), "60d" })
		admin = join(ctx, w, role.Admin)
	})
	stored := func(ctx context.Context, name string) *v1alpha1.ApiKey {
		GinkgoHelper()
		key := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, w.Request(name).NamespacedName, key)).To(Succeed())
		return key
	}

	It("create the ApiKey that the form describes, once", func(ctx SpecContext) {
		entered := filled("shop")
		entered.Addresses, entered.Rotation = []string{"192.0.2.0/24"}, "30d"
		form, err := admin.NewKey(ctx, acme(w), &entered, true)
		Expect(err).NotTo(HaveOccurred())
		Expect(form.YAML).To(ContainSubstring("name: shop\n"))
		Expect(testenv.Admin.Get(ctx, w.Request("shop").NamespacedName, &v1alpha1.ApiKey{})).NotTo(Succeed(), "it is only shown")

		of, err := admin.CreateKey(ctx, acme(w), entered)
		Expect(err).NotTo(HaveOccurred())
		Expect(of).To(Equal(place.Key{Group: acme(w), Namespace: w.Namespace, Name: "shop"}))
		key := stored(ctx, "shop")
		Expect(key.Spec.Projects).To(Equal([]v1alpha1.ProjectName{"marketing"}))
		Expect(key.Spec.ExpiresAfter).To(BeEquivalentTo("30d"))
		Expect(key.Spec.Rotation.Every).To(BeEquivalentTo("30d"))
		Expect(key.Annotations[v1alpha1.AnnotationCreatedBy]).To(Equal(w.Namespace + ":admin"))
		Expect(specchange.Of(key.Annotations)[0].Via).To(Equal(groupevent.ViaConsole))

		_, err = admin.CreateKey(ctx, acme(w), entered)
		Expect(fieldsOf(err)).To(HaveKey("name"))
	})

	It("say which fields of the form were not accepted", func(ctx SpecContext) {
		entered := filled("shop")
		entered.Projects, entered.Lifetime = []string{"no-such"}, "90d"
		_, err := admin.CreateKey(ctx, acme(w), entered)
		Expect(fieldsOf(err)).To(And(HaveLen(2), HaveKey("projects"), HaveKey("lifetime")))
		form, err := admin.NewKey(ctx, acme(w), &entered, false)
		Expect(err).NotTo(HaveOccurred())
		Expect(form.Lifetimes.Error).NotTo(BeEmpty())

		By("as the API server does, if the Group was changed meanwhile")
		entered = filled("late")
		entered.Lifetime = "45d"
		testenv.Edit(ctx, &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}, func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.MaxLifetime = "30d"
		})
		_, err = admin.CreateKey(ctx, acme(w), entered)
		Expect(fieldsOf(err)).To(HaveKey("lifetime"))
	})

	It("suspend, resume and revoke, so that it lasts under GitOps", func(ctx SpecContext) {
		w.CreateKey(ctx)
		Expect(admin.DoSuspend(ctx, webOf(w))).To(Succeed())
		key := stored(ctx, "web")
		Expect(*key.Spec.Suspended).To(BeTrue())
		Expect(key.ManagedFields).To(ContainElement(And(HaveField("Manager", "keyward-console"), HaveField("Operation", metav1.ManagedFieldsOperationApply))))
		changes := specchange.Of(key.Annotations)
		Expect(changes[len(changes)-1].Via).To(Equal(groupevent.ViaConsole))
		resume, err := admin.Resume(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(resume.By).To(Equal(w.Namespace + ":admin"))

		Expect(fieldsOf(admin.DoRotate(ctx, webOf(w), "1h"))).To(HaveKeyWithValue("", "The key is suspended. Resume it first."))
		Expect(admin.DoResume(ctx, webOf(w))).To(Succeed())
		Expect(*stored(ctx, "web").Spec.Suspended).To(BeFalse())
		Expect(admin.DoSuspend(ctx, webOf(w))).To(Succeed())
		Expect(admin.DoRevoke(ctx, webOf(w))).To(Succeed())
		key = stored(ctx, "web")
		Expect(*key.Spec.Revoked).To(BeTrue())
		Expect(*key.Spec.Suspended).To(BeTrue(), "what the console has applied before stays")
		Expect(admin.DoRevoke(ctx, webOf(w))).To(Succeed(), "again")
		Expect(fieldsOf(admin.DoResume(ctx, webOf(w)))).To(HaveKey(""))
		Expect(fieldsOf(admin.DoRotate(ctx, webOf(w), "1h"))).To(HaveKey(""))
	})

	It("request a rotation with the overlap that was chosen", func(ctx SpecContext) {
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "30d" })
		asked, err := admin.Rotate(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		for _, o := range asked.Overlaps {
			Expect(admin.DoRotate(ctx, webOf(w), o.Value)).To(Succeed(), o.Value)
			request := stored(ctx, "web").Annotations[v1alpha1.AnnotationRotateRequestedAt]
			want, err := grant.ParseDuration(v1alpha1.Duration(o.Value))
			Expect(err).NotTo(HaveOccurred())
			Expect(grant.RequestedOverlap(request)).To(HaveValue(Equal(want)), o.Value)
		}
		Expect(fieldsOf(admin.DoRotate(ctx, webOf(w), "31d"))).To(HaveKey("overlap"))
		Expect(fieldsOf(admin.DoRotate(ctx, webOf(w), ""))).To(HaveKey("overlap"))
	})

	It("save an allowlist", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist())).To(Succeed())
		save := func(entered web.EnteredAllowlist) error {
			return admin.SaveAllowlist(ctx, acme(w), w.Namespace, "web", entered)
		}
		Expect(save(web.EnteredAllowlist{Domains: []string{"*.acme.example", "acme.example"}, Missing: "Allow"})).To(Succeed())
		list := &v1alpha1.DomainAllowlist{}
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, list)).To(Succeed())
		Expect(list.Spec).To(Equal(v1alpha1.DomainAllowlistSpec{
			GroupRef: v1alpha1.GroupReference{Name: "acme"}, Projects: []v1alpha1.ProjectName{"marketing", "product"},
			Domains: []string{"*.acme.example", "acme.example"}, AllowLocalhost: ptr.To(false), MissingOrigin: v1alpha1.MissingOriginAllow,
		}))
		editor, err := admin.Allowlist(ctx, acme(w), w.Namespace, "web", nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(editor.Domains.Value).To(Equal("*.acme.example\nacme.example"))
		Expect(editor.YAML).To(BeEmpty())
		Expect(fieldsOf(save(web.EnteredAllowlist{Domains: []string{"acme.example/"}}))).To(HaveKey("domains"))

		By("but not over what somebody else has saved meanwhile")
		Expect(save(web.EnteredAllowlist{Domains: []string{"acme.example"}, Version: editor.Version})).To(Succeed())
		Expect(save(web.EnteredAllowlist{Domains: []string{"lost.example"}, Version: editor.Version})).To(MatchError(web.ErrConflict))

		By("and not one that a tool keeps as Git has it: its YAML is for Git")
		testenv.Edit(ctx, list, func(l *v1alpha1.DomainAllowlist) {
			l.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "keys:keyward.dev/DomainAllowlist:" + w.Namespace + "/web"}
		})
		entered := web.EnteredAllowlist{Domains: []string{"shop.example"}}
		Expect(fieldsOf(save(entered))).To(HaveKeyWithValue("", ContainSubstring("Argo CD keeps this allowlist")))
		editor, err = admin.AllowlistYAML(ctx, acme(w), w.Namespace, "web", entered)
		Expect(err).NotTo(HaveOccurred())
		Expect(editor.Managed).To(Equal("Argo CD"))
		Expect(editor.YAML).To(ContainSubstring("- shop.example\n"))

		lists, err := admin.Allowlists(ctx, acme(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(lists.Within).To(BeEmpty())
		Expect(lists.Lists).To(HaveLen(1))
		Expect(lists.Lists[0].Href).To(Equal(acme(w).Allowlist(w.Namespace, "web")))
	})

	It("show the YAML of an allowlist only if the API server would accept it", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist())).To(Succeed())
		show := func(domains ...string) (string, error) {
			editor, err := admin.AllowlistYAML(ctx, acme(w), w.Namespace, "web", web.EnteredAllowlist{Domains: domains, Missing: "Deny"})
			return editor.YAML, err
		}
		yaml, err := show("shop.example", "*.shop.example")
		Expect(err).NotTo(HaveOccurred())
		Expect(yaml).To(ContainSubstring("- shop.example\n"))
		for _, domain := range []string{"*", "null", "a b", "shop.example/path", "*.*.example", "ftp:", ":80", "https://", "[::1", "a..b"} {
			list := &v1alpha1.DomainAllowlist{}
			Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, list)).To(Succeed())
			list.Spec.Domains = []string{domain}
			accepted := testenv.Admin.Update(ctx, list, client.DryRunAll) == nil
			yaml, err := show(domain)
			if accepted {
				Expect(err).NotTo(HaveOccurred(), domain)
				Expect(yaml).NotTo(BeEmpty(), domain)
				continue
			}
			Expect(fieldsOf(err)).To(HaveKey("domains"), domain)
		}
		list := &v1alpha1.DomainAllowlist{}
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, list)).To(Succeed())
		Expect(list.Spec.Domains).To(Equal(w.NewAllowlist().Spec.Domains), "nothing is saved")
	})

	It("show no YAML of an allowlist that only the API server knows not to fit beside the others", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist())).To(Succeed())
		sites := func(of, n int) (sites []string) {
			for i := range n {
				sites = append(sites, fmt.Sprintf("%d.site-%d.example", i, of))
			}
			return sites
		}
		for i := range 16 { // with 4,016 of 4,096
			Expect(testenv.Admin.Create(ctx, w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) {
				l.Name, l.Spec.Domains = fmt.Sprintf("web-%d", i), sites(i, 251)
			}))).To(Succeed())
		}
		Eventually(func(g Gomega) { // admission sees the others a moment later
			editor, err := admin.AllowlistYAML(ctx, acme(w), w.Namespace, "web", web.EnteredAllowlist{Domains: sites(16, 250), Missing: "Deny"})
			var is *web.InvalidError
			g.Expect(errors.As(err, &is)).To(BeTrue(), "%v", err)
			g.Expect(is.Fields["domains"]).To(ContainSubstring("all DomainAllowlists of the Group"))
			g.Expect(editor.YAML).To(BeEmpty())
		}).Should(Succeed())
	})

	It("end keys that a tool keeps as Git has them, too", func(ctx SpecContext) {
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Labels = map[string]string{"kustomize.toolkit.fluxcd.io/name": "keys"} })
		key, err := admin.Key(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(key.Managed).To(Equal("Flux"))
		Expect(admin.DoRotate(ctx, webOf(w), "1h")).To(Succeed())
		Expect(admin.DoSuspend(ctx, webOf(w))).To(Succeed())

		By("and Flux, which applies what Git has, leaves that as it is")
		git := w.NewKey()
		git.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ApiKey"))
		manifest, err := json.Marshal(git)
		Expect(err).NotTo(HaveOccurred())
		Expect(testenv.Admin.Patch(ctx, git, client.RawPatch(types.ApplyPatchType, manifest), client.FieldOwner("kustomize-controller"), client.ForceOwnership)).To(Succeed())
		Expect(*stored(ctx, "web").Spec.Suspended).To(BeTrue())
		Expect(admin.DoRevoke(ctx, webOf(w))).To(Succeed())
		Expect(*stored(ctx, "web").Spec.Revoked).To(BeTrue())
	})
})
