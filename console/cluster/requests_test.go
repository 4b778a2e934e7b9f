package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyrequest"
	"github.com/keyward-dev/keyward/internal/role"
)

// reviewed creates the review of a request for a key of acme, as the manager does it, but for its name.
func reviewed(ctx context.Context, w *testenv.World, name string, change ...func(*v1alpha1.KeyRequestReview)) *v1alpha1.KeyRequestReview {
	GinkgoHelper()
	group := &v1alpha1.Group{}
	Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, group)).To(Succeed())
	request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(w.Clock.Now())}}
	request.Annotations = map[string]string{v1alpha1.AnnotationCreatedBy: "jane"}
	request.Spec = v1alpha1.KeyRequestSpec{
		GroupRef: v1alpha1.GroupReference{Namespace: w.Namespace, Name: "acme"}, Projects: []v1alpha1.ProjectName{"marketing"}, UseCase: "The shop of " + name,
	}
	review := keyrequest.NewReview(request, group)
	review.Name = name
	for _, f := range change {
		f(review)
	}
	Expect(testenv.Admin.Create(ctx, review)).To(Succeed())
	return review
}

// decided decides about a review as somebody else.
func decided(ctx context.Context, _ *testenv.World, review *v1alpha1.KeyRequestReview, verdict v1alpha1.Verdict) {
	GinkgoHelper()
	olga, _ := testenv.As("olga")
	patch := fmt.Sprintf(`{"spec":{"decision":{"verdict":%q,"reason":"<b>We know them"}}}`, verdict)
	Expect(olga.Patch(ctx, review, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

var _ = Describe("Requests for keys", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})

	It("are listed page by page: those that wait for a decision first, and none of another Group", func(ctx SpecContext) {
		decided(ctx, w, reviewed(ctx, w, "0-approved"), v1alpha1.VerdictApproved)
		decided(ctx, w, reviewed(ctx, w, "0-refused"), v1alpha1.VerdictRefused)
		reviewed(ctx, w, "0-other", func(r *v1alpha1.KeyRequestReview) { r.Spec.Group.Name = "other" })
		reviewed(ctx, w, "0-again", func(r *v1alpha1.KeyRequestReview) { r.Spec.Group.UID = "the-one-before" })
		for i := range 101 {
			reviewed(ctx, w, fmt.Sprintf("wait-%03d", i))
		}
		owner := join(ctx, w, role.Owner)
		var states []string
		names := map[string]bool{}
		after, pages := "", 0
		for ; ; pages++ {
			shown, err := owner.Requests(ctx, acme(w), after)
			Expect(err).NotTo(HaveOccurred())
			Expect(len(shown.Requests)).To(BeNumerically("<=", 100))
			for _, one := range shown.Requests {
				states, names[one.Name] = append(states, one.State.Text), true
			}
			if shown.Next == "" {
				break
			}
			path, query, _ := strings.Cut(shown.Next, "?")
			Expect(path).To(Equal(acme(w).Of("requests")))
			next, err := url.ParseQuery(query)
			Expect(err).NotTo(HaveOccurred())
			after = next.Get("after")
		}
		Expect(pages).To(BeNumerically("<", 5))
		Expect(names).To(HaveLen(103))
		Expect(names).NotTo(HaveKey("0-other"))
		Expect(names).NotTo(HaveKey("0-again"))
		Expect(states).To(HaveLen(103))
		Expect(states[:101]).To(HaveEach("Undecided"))
		Expect(states[101:]).To(ConsistOf("Approved", "Refused"))

		By("and none of another Group is shown or decided about")
		for _, name := range []string{"0-other", "0-again", "none", "../groups/acme"} {
			_, err := owner.Request(ctx, acme(w), name)
			Expect(err).To(MatchError(web.ErrNotFound), name)
			Expect(owner.DecideRequest(ctx, acme(w), name, web.Decision{Verdict: "Approved"})).To(MatchError(web.ErrNotFound), name)
		}
		for _, text := range []string{"x", "eyJuIjoib3RoZXIifQ", "eyJuIjoib3RoZXIiLCJkIjp0cnVlfQ"} { // of a namespace "other"
			_, err := owner.Requests(ctx, acme(w), text)
			Expect(err).To(MatchError(web.ErrNotFound), text)
		}
	})

	It("are decided as the person, with the reason", func(ctx SpecContext) {
		review, owner := reviewed(ctx, w, "web"), join(ctx, w, role.Owner)
		Expect(owner.DecideRequest(ctx, acme(w), "web", web.Decision{Verdict: "Approved", Reason: "We know them."})).To(Succeed())
		Expect(owner.DecideRequest(ctx, acme(w), "web", web.Decision{Verdict: "Withdrawn"})).To(Succeed())
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(review), review)).To(Succeed())
		Expect(*review.Spec.Decision).To(Equal(v1alpha1.Decision{Verdict: v1alpha1.VerdictWithdrawn}))
		by := w.Namespace + ":owner"
		Expect(review.Spec.Decided).To(HaveExactElements(
			And(HaveField("By", by), HaveField("Verdict", v1alpha1.VerdictApproved), HaveField("Reason", "We know them.")),
			And(HaveField("By", by), HaveField("Verdict", v1alpha1.VerdictWithdrawn), HaveField("Reason", ""))))
		Expect(review.ManagedFields).To(ContainElement(HaveField("Manager", "keyward-console")))
	})

	It("show what somebody else has decided meanwhile, and nothing is overwritten", func(ctx SpecContext) {
		review := reviewed(ctx, w, "web")
		join(ctx, w, role.Owner)
		v := visit(newConsole(w), w.Namespace+":owner")
		Expect(v.get(acme(w).Request("web")).Body.String()).To(ContainSubstring(`value="approve"`))
		decided(ctx, w, review, v1alpha1.VerdictApproved)
		for _, step := range []string{"approve", "refuse"} {
			got := v.post(acme(w).Request("web"), url.Values{"step": {step}, "reason": {"Not now."}})
			Expect(got.Code).To(Equal(http.StatusConflict), got.Body.String())
			Expect(got.Body.String()).To(And(ContainSubstring("Somebody else was faster"), ContainSubstring("olga"), ContainSubstring("&lt;b&gt;We know them"),
				Not(ContainSubstring("<b>")), Not(ContainSubstring(`value="approve"`)), ContainSubstring(`value="withdraw"`)))
		}
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(review), review)).To(Succeed())
		Expect(review.Spec.Decided).To(HaveLen(1))
	})

	It("are not decided if somebody decides between the reading and the writing", func(ctx SpecContext) {
		review := reviewed(ctx, w, "web")
		join(ctx, w, role.Owner)
		config := rest.CopyConfig(testenv.Config)
		config.Impersonate = rest.ImpersonationConfig{UserName: w.Namespace + ":owner", Groups: []string{"system:authenticated"}}
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPatch {
					decided(ctx, w, review, v1alpha1.VerdictRefused)
				}
				return next.RoundTrip(r)
			})
		})
		desk, err := cluster.New(person.New(w.Namespace+":owner", nil, config), cluster.Options{Now: w.Clock.Now})
		Expect(err).NotTo(HaveOccurred())
		Expect(desk.DecideRequest(ctx, acme(w), "web", web.Decision{Verdict: "Approved"})).To(MatchError(web.ErrConflict))
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(review), review)).To(Succeed())
		Expect(review.Spec.Decision.Verdict).To(Equal(v1alpha1.VerdictRefused))
	})
})

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (r roundTripper) RoundTrip(of *http.Request) (*http.Response, error) { return r(of) }
