package cluster_test

import (
	"errors"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

// unusable is a connection over which GroupUsages cannot be read.
type unusable struct{ http.RoundTripper }

func (u unusable) RoundTrip(request *http.Request) (*http.Response, error) {
	if strings.Contains(request.URL.Path, "/groupusages/") {
		return nil, errors.New("the connection failed")
	}
	return u.RoundTripper.RoundTrip(request)
}

var _ = Describe("The page of a key", func() {
	It("says why the key was refused lately, to who may read what was used of the Group", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		id := w.ReconcileUntil(ctx, "web", testenv.Ready).Status.KeyID
		viewer := join(ctx, w, role.Viewer)
		shown, err := viewer.Key(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(shown.RefusalsKnown).To(BeTrue(), "nothing was used yet")
		Expect(shown.Refusals).To(BeEmpty())

		usage := &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
		Expect(testenv.Admin.Create(ctx, usage)).To(Succeed())
		at := metav1.NewTime(w.Clock.Now().Add(-time.Minute).Truncate(time.Second))
		usage.Status.RefusedKeys = []v1alpha1.RefusedKey{{
			KeyID: id, Code: "origin_denied", APIKey: v1alpha1.KeyUsageOwner{Namespace: w.Namespace, Name: "web"}, Requests: 12,
			FirstAt: at, LastAt: at, Origin: "https://copy.example",
		}}
		Expect(testenv.Admin.Status().Update(ctx, usage)).To(Succeed())
		shown, err = viewer.Key(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(shown.Refusals).To(ConsistOf(And(
			HaveField("Code", "origin_denied"), HaveField("Times", BeEquivalentTo(12)), HaveField("Origin", "https://copy.example"),
			HaveField("Cause", ContainSubstring("https://copy.example")), HaveField("Hint", ContainSubstring("DomainAllowlist")),
		)))

		user := w.Namespace + ":few"
		bindRule(ctx, w, user, rbacv1.PolicyRule{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"groups", "apikeys"}, Verbs: []string{"get", "list"},
		})
		other := deskOf(w, user)
		Eventually(func(g Gomega) {
			shown, err := other.Key(ctx, webOf(w))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(shown.RefusalsKnown).To(BeFalse())
			g.Expect(shown.Refusals).To(BeEmpty())
		}).Should(Succeed())

		By("what was used being unreadable")
		config := rest.CopyConfig(testenv.Config)
		config.Impersonate = rest.ImpersonationConfig{UserName: w.Namespace + ":" + string(role.Viewer), Groups: []string{"system:authenticated"}}
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return unusable{next} })
		desk, err := cluster.New(person.New("somebody", nil, config), cluster.Options{Now: w.Clock.Now})
		Expect(err).NotTo(HaveOccurred())
		shown, err = desk.Key(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(shown.RefusalsKnown).To(BeFalse())
		Expect(shown.State.Text).NotTo(BeEmpty())
	})
})
