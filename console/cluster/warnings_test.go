package cluster_test

import (
	"net/http"
	"net/url"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

var _ = Describe("What the API server warns of", func() {
	It("is on the page that follows, once", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsManual })
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist())).To(Succeed())
		join(ctx, w, role.Admin)
		v := visit(newConsole(w), w.Namespace+":admin")
		follow := func(path string, form url.Values) string {
			GinkgoHelper()
			v.get(path)
			sent := v.post(path, form)
			Expect(sent.Code).To(Equal(http.StatusSeeOther), sent.Body.String())
			at := sent.Header().Get("Location")
			return v.get(at).Body.String()
		}
		asks := url.Values{"step": {"create"}, "namespace": {w.Namespace}, "name": {"no-such-group"}, "group": {w.Namespace + "/no-such"}, "projects": {"marketing"}, "permissions": {"read"},
			"useCase": {"The shop"}}
		Expect(follow(place.Ask, asks)).To(ContainSubstring("Warning: <bdi>spec.groupRef: no Group"))
		of := place.Request{Namespace: w.Namespace, Name: "no-such-group"}
		Expect(v.get(of.Of()).Body.String()).To(And(ContainSubstring("no-such-group"), Not(ContainSubstring("Warning:"))))

		By("and as that of an allowlist that is on its page in any case, not twice")
		allowlist := acme(w).Allowlist(w.Namespace, "web")
		saved := follow(allowlist, url.Values{"step": {"save"}, "domains": {"https://*.github.io"}, "missing": {"Deny"}})
		Expect(strings.Count(saved, "Warning: <bdi>spec.domains[0]: https://*.github.io allows sites of strangers")).To(Equal(1), saved)
	})
})
